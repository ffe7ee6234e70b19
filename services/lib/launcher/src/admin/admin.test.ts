import { once } from "node:events";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type RangeMap, evenRangeMap } from "@meridian/core";
import { RpcClient } from "../workload/rpc.ts";
import { pin, readRanges } from "./admin.ts";
import { mapText } from "./texts.ts";

const ACCOUNT = `0x${"01".repeat(20)}`;
const PINNED: RangeMap = { ...evenRangeMap(2), version: 2, pins: [{ address: "01".repeat(20), partition: 1 }] };

type Answer = { result: unknown } | { error: { code: number; message: string } };

let server: Server;
let rpc: RpcClient;
/** By method what is answered, one after the other; the last one stays. */
let answers: Record<string, Answer[]>;

beforeEach(async () => {
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const [{ id, method }] = JSON.parse(Buffer.concat(parts).toString()) as [{ id: number; method: string }];
      const left = answers[method] ?? [{ error: { code: -32_601, message: `the method ${method} does not exist` } }];
      response.end(JSON.stringify([{ jsonrpc: "2.0", id, ...(left.length > 1 ? left.shift() : left[0]) }]));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  rpc = new RpcClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterEach(() => {
  rpc.close();
  server.close();
});

const mapOf = (map: RangeMap, moving = false): Answer => ({ result: { map, moving } });
const refused = (message: string): Answer => ({ error: { code: -32_000, message } });
const MOVING: Answer[] = [{ result: { version: 2 } }];

test("a pin is waited for until the map has it, over a leader that starts again", async () => {
  const ranges = [mapOf(evenRangeMap(2), true), refused("what this call needs is not running at the moment"), mapOf(PINNED)];
  answers = { admin_pin: MOVING, admin_ranges: ranges };
  expect((await pin(rpc, ACCOUNT, 1, 5_000)).map).toEqual(PINNED);
});

test.each<[what: string, answers: Record<string, Answer[]>, want: string]>([
  ["the namespace is off", {}, "set MERIDIAN_ADMIN=true for the gateway and the schedulers (npm start -- --admin)"],
  ["no scheduler answers", { admin_pin: [refused("what this call needs is not running at the moment")] }, "none leads"],
  ["the leader refuses", { admin_pin: [refused("there is no partition 1")] }, "there is no partition 1"],
  [
    "the move is given up",
    { admin_pin: MOVING, admin_ranges: [mapOf(evenRangeMap(2))] },
    "was given up, the map stays at version 1",
  ],
  ["another change came first", { admin_pin: MOVING, admin_ranges: [mapOf({ ...PINNED, pins: [] })] }, "was given up"],
  ["it takes too long", { admin_pin: MOVING, admin_ranges: [mapOf(evenRangeMap(2), true)] }, "has not moved after 200 ms"],
])("%s: said in words", async (_what, given, want) => {
  answers = given;
  await expect(pin(rpc, ACCOUNT, 1, 200)).rejects.toMatchObject({ detail: { text: expect.stringContaining(want) as string } });
});

test("the map is shown of a gateway without the namespace too", async () => {
  answers = { meridian_rangeMap: [{ result: PINNED }] };
  const { map, moving } = await readRanges(rpc);
  expect(moving).toBeNull();
  const text = mapText(map, false);
  expect(text).toMatch(new RegExp(`0x8${"0".repeat(39)} +0x${"f".repeat(40)} +1\n`));
  expect(text).toMatch(new RegExp(`${ACCOUNT} +1\n`));
  expect(text).toMatch(/0 +1 +50\.0 % +0\n +1 +1 +50\.0 % +1/);
});
