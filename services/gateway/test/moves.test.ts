/** Accounts that move between partitions, the methods that move them, and calls that ask for a hash that is not there yet. */
import { decodeAdminRequest, encodeAdminReply, SUBJECT } from "@meridian/bus";
import type { AdminReply, AdminRequest, ReadReply } from "@meridian/core";
import { bytesOfHex, evenRangeMap } from "@meridian/core";
import { numberToHex } from "viem";
import { afterEach, describe, expect, test } from "vitest";
import { alice, bob, startRig, WEALTH } from "./client.ts";
import type { Rig } from "./client.ts";

let rig: Rig;
afterEach(async () => {
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

describe("admin_", () => {
  const ADDRESS = bytesOfHex(alice.address.toLowerCase());
  const map = evenRangeMap(2);
  const serve = (reply: AdminReply): AdminRequest[] => {
    const requests: AdminRequest[] = [];
    rig.chain.bus.wire.subscribe(SUBJECT.admin, ({ payload, respond }) => {
      requests.push(decodeAdminRequest(payload));
      respond(encodeAdminReply(reply));
    });
    return requests;
  };

  test.each(["admin_ranges", "admin_pin", "admin_unpin"])("%s is not there unless it is asked for", async (method) => {
    rig = await startRig();
    const message = `the method ${method} does not exist/is not available`;
    expect((await rig.call(method, alice.address, 1)).error).toEqual({ code: -32_601, message });
  });

  test.each<[method: string, params: unknown[], request: AdminRequest, reply: AdminReply, result: unknown]>([
    ["admin_ranges", [], { op: "map" }, { op: "map", map, moving: true }, { map, moving: true }],
    [
      "admin_pin",
      [alice.address, 1],
      { op: "pin", address: ADDRESS, partition: 1 },
      { op: "moving", version: 4 },
      { version: 4 },
    ],
    [
      "admin_pin",
      [alice.address, "0x1"],
      { op: "pin", address: ADDRESS, partition: 1 },
      { op: "moving", version: 4 },
      { version: 4 },
    ],
    [
      "admin_unpin",
      [alice.address],
      { op: "pin", address: ADDRESS, partition: null },
      { op: "moving", version: 5 },
      { version: 5 },
    ],
  ])("%s%j", async (method, params, request, reply, result) => {
    rig = await startRig({ hasAdmin: true });
    const requests = serve(reply);
    expect(await rig.result(method, ...params)).toEqual(result);
    expect(requests).toEqual([request]);
  });

  test("a refusal is the leader's own words", async () => {
    rig = await startRig({ hasAdmin: true });
    serve({ op: "failed", text: "there is no partition 9" });
    expect((await rig.call("admin_pin", alice.address, 9)).error).toEqual({ code: -32_000, message: "there is no partition 9" });
  });

  test("nobody leads", async () => {
    rig = await startRig({ hasAdmin: true });
    const message = "what this call needs is not running at the moment: ask again";
    expect((await rig.call("admin_ranges")).error).toEqual({ code: -32_000, message });
  });

  test.each<[params: unknown[], message: string]>([
    [[], "missing value for required argument 0"],
    [["0x12", 1], "invalid argument 0: hex string has length 2, want 40 for common.Address"],
    [[alice.address, "west"], "invalid argument 1: json: cannot unmarshal string into Go value of type uint64"],
    [[alice.address, -1], "invalid argument 1: json: cannot unmarshal number into Go value of type uint64"],
  ])("admin_pin%j: refused", async (params, message) => {
    rig = await startRig({ hasAdmin: true });
    expect((await rig.call("admin_pin", ...params)).error).toEqual({ code: -32_602, message });
  });
});

describe("an account that moved while the map here was older", () => {
  const foreign = (address: string): ReadReply => ({
    op: "failed",
    failure: { code: "FOREIGN", account: bytesOfHex(address.toLowerCase()) },
  });

  test.each<[method: string, params: unknown[], want: unknown]>([
    ["eth_getBalance", [alice.address], numberToHex(WEALTH)],
    ["eth_call", [{ to: alice.address }], "0x"],
    ["eth_estimateGas", [{ from: bob.address, to: alice.address }], "0x5208"],
  ])("%s asks its new owner", async (method, params, want) => {
    rig = await startRig({ limits: { absentMsMax: 2_000 } });
    let isKnown = false;
    rig.chain.onRead = () => {
      if (isKnown) return undefined;
      isKnown = true;
      void rig.chain.bus.settings.putMap({ ...evenRangeMap(2), version: 2 }).then(() => rig.chain.beat({ mapVersion: 2 }));
      return foreign(alice.address);
    };
    expect(await rig.result(method, ...params)).toEqual(want);
    expect(rig.chain.reads).toHaveLength(2);
  });

  test("without a newer map it is an error after a while, as is another account that could not be read", async () => {
    rig = await startRig();
    for (const account of [alice, bob]) {
      rig.chain.onRead = () => foreign(account.address);
      const message = new RegExp(`^account ${account.address.toLowerCase()} of another partition could not be read`);
      expect((await rig.call("eth_call", { to: alice.address })).error).toEqual({
        code: -32_000,
        message: expect.stringMatching(message) as string,
      });
    }
  });
});

describe("a call that asks for the hash of a block without a seal", () => {
  const unsealed = { status: "unsealed", block: 1 } as const;

  test("waits for the seal", async () => {
    rig = await startRig();
    let asked = 0;
    rig.chain.onRead = ({ op }) => {
      if (asked++ > 0) return undefined;
      rig.chain.closeBlock();
      return op === "call" ? { op, result: unsealed } : { op: "failed", failure: { code: "CALL", result: unsealed } };
    };
    expect(await rig.result("eth_call", { to: alice.address }, "pending")).toBe("0x");
    asked = 0;
    expect(await rig.result("eth_estimateGas", { to: alice.address }, "pending")).toBe("0x5208");
  });

  test("says so if none comes", async () => {
    rig = await startRig({ limits: { sealMsMax: 50 } });
    rig.chain.onRead = () => ({ op: "call", result: unsealed });
    expect((await rig.call("eth_call", { to: alice.address }, "pending")).error).toEqual({
      code: -32_000,
      message: "the call asks for the hash of block 1, which is not sealed yet: ask again",
    });
  });
});
