/** What POST /v1/transactions refuses, and in which words. */
import { pack } from "@meridian/bus";
import { SUBMIT } from "@meridian/core";
import { keccak256 } from "viem";
import type { Hex } from "viem";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bob, carol, dave, sign, startRig } from "./client.ts";
import type { Rig } from "./client.ts";
import { bodyOf, post, sendAll, valuesOf } from "./binary.ts";

let rig: Rig;
beforeEach(async () => (rig = await startRig()));
afterEach(async () => {
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

const row = (count: number, fields: Record<string, unknown> = {}): Promise<Hex[]> =>
  Promise.all(Array.from({ length: count }, (_, nonce) => sign({ nonce, ...fields })));
const isAccepted = (count: number) => expect.poll(() => rig.chain.submits.reduce((sum, { count }) => sum + count, 0)).toBe(count);
const streaming = async (): Promise<number> => {
  const { gateway } = (await rig.result("meridian_status")) as { gateway: { streaming: number } };
  return gateway.streaming;
};
const plant = (raw: Hex, code: number, detail = 0): void => void rig.chain.planted.set(keccak256(raw).slice(2), { code, detail });

describe("refusals", () => {
  test("each with its input, code, geth's words and the numbers in them", async () => {
    const raws = [
      await sign({ chainId: 1 }, dave),
      await sign({ nonce: 7 }),
      await sign({}, bob),
      await sign({ value: 1n }, dave),
      await sign({}, carol),
    ];
    plant(raws[4] ?? "0x", SUBMIT.senderLimit, 64);
    const [accepted] = await sendAll(rig.url, raws);
    expect(accepted).toEqual([
      "accepted",
      1,
      null,
      [
        [0, 0, -32_000, "invalid chain id for signer: have 1 want 31337", [1, 31_337], 0],
        [1, 0, -32_000, "nonce too high: tx nonce 7, gapped nonce 0", [0], 1],
        [3, 0, -32_000, expect.stringMatching(/^insufficient funds/), [], 0],
        [4, 0, -32_005, "account limit exceeded: at most 64 transactions of one sender may wait", [64], 1],
      ],
    ]);
  });

  const array = (...values: unknown[]): Uint8Array<ArrayBuffer> => new Uint8Array(pack(values));
  const raws = [new Uint8Array(3)];
  test.each<[what: string, body: Uint8Array<ArrayBuffer>, status: number, code: number, text: string]>([
    ["no body", new Uint8Array(0), 400, -32_700, "not one MessagePack value: it ends before it starts"],
    ["JSON", new Uint8Array(Buffer.from("{}")), 400, -32_602, "the body is a number instead of an array"],
    ["no MessagePack", new Uint8Array([0xc1]), 400, -32_602, "the body is no MessagePack instead of an array"],
    ["too few values", array(1, 0), 400, -32_602, "the body has 2 values instead of [version, want, raws]"],
    ["another version", array(2, 0, raws), 400, -32_602, "version 2 is not known here, only 1"],
    ["no version", array("1", 0, raws), 400, -32_602, "version is a text instead of a number"],
    ["an unknown want", array(1, 4, raws), 400, -32_602, "want is 4; it is a sum of 1 (receipts) and 2 (hashes)"],
    ["a negative want", array(1, -1, raws), 400, -32_602, "want is a number instead of a whole number from 0 to 3"],
    ["raws that are none", array(1, 0, "raws"), 400, -32_602, "raws is a text instead of an array of bin"],
    ["hex", array(1, 0, [...raws, "0x00"]), 400, -32_602, "raws[1] is a text instead of bin"],
    ["nil", array(1, 0, [null]), 400, -32_602, "raws[0] is nil instead of bin"],
    ["a cut body", array(1, 0, raws).slice(0, -1), 400, -32_700, "not one MessagePack value: it ends inside raws[0]"],
    ["a body cut between", array(1, 0, raws).slice(0, 4), 400, -32_700, "not one MessagePack value: it ends in front of raws[0]"],
    [
      "two values",
      new Uint8Array([...array(1, 0, raws), 1]),
      400,
      -32_700,
      "not one MessagePack value: 1 bytes behind the value",
    ],
    [
      "a length that nobody has",
      new Uint8Array([0x93, 1, 0, 0xdd, 0, 0, 0, 2, 0xc6, 255, 255, 255, 255]),
      400,
      -32_700,
      "not one MessagePack value: it ends inside raws[0]",
    ],
    [
      "too many",
      array(
        1,
        0,
        Array.from({ length: 9 }, () => raws[0]),
      ),
      413,
      -32_600,
      "too many transactions: 9 in one body, limit 8",
    ],
    ["too large", array(1, 0, [new Uint8Array(2_000)]), 413, -32_600, "content length too large (2007>1000)"],
  ])("%s", async (_what, body, status, code, text) => {
    await rig.stop();
    rig = await startRig({ limits: { binaryBytesMax: 1_000, binaryCallsMax: 8 } });
    const response = await post(rig.url, body);
    expect([response.status, response.headers.get("content-type")]).toEqual([status, "application/msgpack"]);
    expect(await valuesOf(response)).toEqual([["error", code, text]]);
    expect(rig.chain.submits).toEqual([]);
  });

  test("another content type, another method", async () => {
    const response = await post(rig.url, bodyOf([]), { "content-type": "application/json" });
    expect([response.status, await valuesOf(response)]).toEqual([
      415,
      [["error", -32_600, "invalid content type, only application/msgpack is supported here"]],
    ]);
    expect((await fetch(new URL("/v1/transactions", rig.url), { method: "PUT", body: "x" })).status).toBe(405);
    expect(await (await fetch(new URL("/v1/transactions", rig.url))).text()).toContain("application/msgpack");
  });
});

describe("overload is 429, with a time to come back", () => {
  test.each<[what: string, options: Parameters<typeof startRig>[0], raws: number, want: number, text: string]>([
    ["workers", { isBusy: true }, 1, 0, "the gateway has too many transactions to decode: send again later"],
    ["one address", { limits: { callsPerSecondMax: 2 } }, 3, 0, "rate limit exceeded: at most 2 calls a second"],
  ])("%s", async (_what, options, count, want, text) => {
    await rig.stop();
    rig = await startRig(options);
    const response = await post(rig.url, bodyOf(await row(count), want));
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(await valuesOf(response)).toEqual([["error", -32_005, text]]);
    expect(rig.chain.submits).toEqual([]);
  });

  test("the scheduler is busy for all of them", async () => {
    const raws = await row(2);
    for (const raw of raws) plant(raw, SUBMIT.busy);
    const response = await post(rig.url, bodyOf(raws, 1));
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(await valuesOf(response)).toEqual([["error", -32_005, "too many transactions are waiting: send again later"]]);
    expect(await streaming()).toBe(0);
  });

  test("too much is in flight, for JSON too", async () => {
    await rig.stop();
    rig = await startRig({ limits: { submitInFlightMax: 1, submitMsMax: 300 } });
    rig.chain.onSubmit = () => true;
    const first = post(rig.url, bodyOf(await row(1)));
    await isAccepted(1);
    const error = { code: -32_005, message: "too many transactions are waiting: send again later" };
    const second = await post(rig.url, bodyOf([await sign({}, bob)]));
    expect([second.status, await valuesOf(second)]).toEqual([429, [["error", error.code, error.message]]]);
    const third = await rig.post({ jsonrpc: "2.0", id: 1, method: "eth_sendRawTransaction", params: [await sign({}, bob)] });
    expect([third.status, await third.json()]).toEqual([429, { jsonrpc: "2.0", id: null, error }]);
    expect((await first).status).toBe(200);
  });

  test("too many receipts are waited for", async () => {
    await rig.stop();
    rig = await startRig({ limits: { streamCallsMax: 2 } });
    const first = await post(rig.url, bodyOf(await row(2), 1)); // Its first value is there.
    const second = await post(rig.url, bodyOf([await sign({}, bob)], 1));
    expect([second.status, await valuesOf(second)]).toEqual([
      429,
      [["error", -32_005, "too many transactions wait for their receipts: send again later"]],
    ]);
    rig.chain.closeBlock();
    expect((await valuesOf(first)).at(-1)).toEqual(["end", 2]);
  });
});
