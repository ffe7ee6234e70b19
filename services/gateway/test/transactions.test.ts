/** POST /v1/transactions by a client that has only docs/BINARY-API.md. */
import { SUBMIT } from "@meridian/core";
import { bytesToHex, keccak256, parseEther } from "viem";
import type { Hex } from "viem";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { alice, bob, carol, dave, sign, startRig } from "./client.ts";
import type { Rig, RpcAnswer } from "./client.ts";
import { bodyOf, post, receiptsOf, sendAll, signBatch, valuesOf } from "./binary.ts";

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

describe("accepted", () => {
  test("one value when all are in the log", async () => {
    const response = await post(rig.url, bodyOf(await row(3)));
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/msgpack"]);
    expect(await valuesOf(response)).toEqual([["accepted", 3, null, []]]);
  });

  test("nothing", async () => {
    expect(await sendAll(rig.url, [])).toEqual([["accepted", 0, null, []]]);
    expect(await sendAll(rig.url, [], 1)).toEqual([
      ["accepted", 0, null, []],
      ["end", 0],
    ]);
    expect(rig.chain.submits).toEqual([]);
  });

  test("again: what the log has counts as accepted", async () => {
    const raws = await row(3);
    await sendAll(rig.url, raws);
    expect(await sendAll(rig.url, raws)).toEqual([["accepted", 3, null, []]]);
    rig.chain.closeBlock();
    rig.chain.forgetHashes();
    expect(await sendAll(rig.url, raws)).toEqual([["accepted", 3, null, []]]);
  });

  test("hashes for each input, zeros for one that is none", async () => {
    const [first = "0x", second = "0x"] = await row(2);
    const [accepted] = await sendAll(rig.url, [first, "0xc0", second], 2);
    const [, count, hashes] = accepted as [string, number, Uint8Array];
    expect(count).toBe(2);
    const zeros: Hex = `0x${"00".repeat(32)}`;
    expect([0, 32, 64].map((at) => bytesToHex(hashes.slice(at, at + 32)))).toEqual([keccak256(first), zeros, keccak256(second)]);
  });

  test("a body in several parts keeps its order, cut into several messages", async () => {
    await rig.stop();
    rig = await startRig({ limits: { partInputs: 7, mergeBytesMax: 1_000 } });
    const raws = await row(60);
    const [accepted, ...rest] = await sendAll(rig.url, raws, 2);
    expect(rest).toEqual([]);
    expect(accepted).toEqual(["accepted", 60, expect.anything(), []]);
    expect(bytesToHex((accepted as [string, number, Uint8Array])[2])).toBe(
      `0x${raws.map((raw) => keccak256(raw).slice(2)).join("")}`,
    );
    expect(rig.chain.submits.length).toBeGreaterThan(10);
  });
});

describe("a body of several messages", () => {
  beforeEach(async () => {
    await rig.stop();
    rig = await startRig({ limits: { mergeBytesMax: 1_000 } });
  });

  test("whose first one had to be sent again: the others go again behind it", async () => {
    let messages = 0;
    rig.chain.onSubmit = () => messages++ === 0; // Its answer is lost.
    const raws = await row(12);
    expect(await sendAll(rig.url, raws)).toEqual([["accepted", 12, null, []]]);
    expect(rig.chain.submits.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(12);
  });

  test("that has no room for the first: the others are not sent again for nothing", async () => {
    const raws = await row(12);
    plant(raws[0] ?? "0x", SUBMIT.busy);
    const [[, count, , refusals] = []] = (await sendAll(rig.url, raws)) as unknown[][];
    expect(count).toBe(0);
    expect((refusals as unknown[][]).map(([input, , code]) => [input, code])).toEqual([
      [0, -32_005],
      ...Array.from({ length: 11 }, (_, index) => [index + 1, -32_000]),
    ]);
    expect(rig.chain.submits.reduce((sum, submit) => sum + submit.count, 0)).toBe(12);
  });
});

describe("receipts", () => {
  beforeEach(() => rig.result("eth_blockNumber")); // A beat was heard: it says that block 1 is open.

  test("come with the sealed block, then the end", async () => {
    const raws = await row(3);
    const answer = sendAll(rig.url, [...raws, await sign({ to: null, data: "0xfe" }, bob)], 1);
    await isAccepted(4);
    await expect.poll(streaming).toBe(4);
    rig.chain.closeBlock();
    const [accepted, receipts, end, ...rest] = await answer;
    expect([accepted, end, rest]).toEqual([["accepted", 4, null, []], ["end", 4], []]);
    const [name, head, packed] = receipts as [string, unknown, Uint8Array];
    const [, block] = rig.chain.archive.blocks;
    expect([name, head]).toEqual(["receipts", [1, new Uint8Array(block?.hash ?? []), block?.timestamp]]);
    const ok = { call: 0, status: 1, reason: 0, gasUsed: 21_000 };
    expect(receiptsOf(packed)).toEqual([
      { ...ok, input: 0, index: 0 },
      { ...ok, input: 1, index: 1 },
      { ...ok, input: 2, index: 2 },
      { input: 3, call: 0, index: 3, status: 0, reason: 2, gasUsed: 100_000 },
    ]);
    await expect.poll(streaming).toBe(0);
    expect(rig.chain.archive.queries.filter(({ op }) => op !== "outcomes")).toEqual([]);
  });

  test("of an earlier block at once, of the open one later", async () => {
    const [first = "0x", second = "0x"] = await row(2);
    await sendAll(rig.url, [first]);
    rig.chain.closeBlock();
    const answer = sendAll(rig.url, [first, second], 1);
    await isAccepted(3);
    await expect.poll(() => rig.chain.archive.queries.length).toBeGreaterThan(0);
    rig.chain.closeBlock();
    const [, one, two, end] = (await answer) as [unknown, unknown[], unknown[], unknown];
    expect([one, two].map(([, head, packed]) => [(head as unknown[])[0], receiptsOf(packed).map(({ input }) => input)])).toEqual([
      [1, [0]],
      [2, [1]],
    ]);
    expect(end).toEqual(["end", 2]);
  });

  test("of a block that is built but not sealed are not told", async () => {
    const answer = sendAll(rig.url, await row(1), 1);
    await isAccepted(1);
    rig.chain.closeBlock({ isSealed: false });
    rig.chain.closeBlock();
    const [, receipts, end] = (await answer) as unknown[][];
    expect([receipts?.[1], end]).toEqual([
      [1, expect.anything(), expect.anything()],
      ["end", 1],
    ]);
  });

  test("are late after a while", async () => {
    await rig.stop();
    rig = await startRig({ limits: { streamMsMax: 50 } });
    expect(await sendAll(rig.url, await row(2), 1)).toEqual([
      ["accepted", 2, null, []],
      ["late", 2],
    ]);
    await expect.poll(streaming).toBe(0);
  });

  test("are asked for again if the archive has no answer", async () => {
    let failures = 2;
    rig.chain.archive.onQuery = () => (failures-- > 0 ? { op: "failed", failure: { code: "BUSY", limit: 1 } } : undefined);
    const answer = sendAll(rig.url, await row(1), 1);
    await isAccepted(1);
    rig.chain.closeBlock();
    expect((await answer).at(-1)).toEqual(["end", 1]);
    expect(rig.chain.archive.queries.length).toBe(3);
  });

  test("of a client that went away are not waited for", async () => {
    const leaving = new AbortController();
    const url = new URL("/v1/transactions", rig.url);
    const headers = { "content-type": "application/msgpack" };
    const response = await fetch(url, { method: "POST", headers, body: bodyOf(await row(2), 1), signal: leaving.signal });
    expect(await streaming()).toBe(2);
    leaving.abort();
    await expect(response.arrayBuffer()).rejects.toThrow("abort");
    await expect.poll(streaming).toBe(0);
    rig.chain.closeBlock();
    await expect.poll(() => rig.result("eth_blockNumber")).toBe("0x1");
    expect(rig.chain.archive.queries).toEqual([]);
  });

  test("of many clients take one question a block", async () => {
    const bodies = await Promise.all([alice, bob, carol].map(async (account) => bodyOf([await sign({}, account)], 1)));
    const responses = await Promise.all(bodies.map((body) => post(rig.url, body))); // Their first values are there.
    rig.chain.closeBlock();
    for (const response of responses) expect((await valuesOf(response)).at(-1)).toEqual(["end", 1]);
    expect(rig.chain.archive.queries.length).toBe(1);
  });
});

describe("signed batches", () => {
  test("have a receipt for each call, and the hash of the first", async () => {
    const { raw, hashes } = await signBatch([{}, { to: carol.address }, { gas: 21_000n, value: 1n }]);
    const answer = sendAll(rig.url, [await sign({}, bob), raw], 3);
    await isAccepted(4);
    rig.chain.closeBlock();
    const [accepted, receipts, end] = (await answer) as unknown[][];
    expect([accepted?.[1], end]).toEqual([4, ["end", 4]]);
    expect(bytesToHex((accepted?.[2] as Uint8Array).slice(32))).toBe(hashes[0]);
    expect(receiptsOf(receipts?.[2]).map(({ input, call, index, status }) => [input, call, index, status])).toEqual([
      [0, 0, 0, 1],
      [1, 0, 1, 1],
      [1, 1, 2, 1],
      [1, 2, 3, 1],
    ]);
    expect(await rig.result("eth_getTransactionReceipt", hashes[2])).toMatchObject({ transactionIndex: "0x3", status: "0x1" });
  });

  test("are refused as a whole for one call that is wrong, or that cannot be paid", async () => {
    const wrong = await signBatch([{}, { gas: 20_000n }]);
    const poor = await signBatch([{}, {}, { value: parseEther("2") }], { account: bob });
    const good = await sign({}, carol);
    expect(await sendAll(rig.url, [wrong.raw, poor.raw, good])).toEqual([
      [
        "accepted",
        1,
        null,
        [
          [0, 1, -32_000, "call 1: intrinsic gas too low: gas 20000, minimum needed 21000", [20_000, 21_000], 0],
          [1, 2, -32_000, expect.stringMatching(/^call 2: insufficient funds/), [], 0],
        ],
      ],
    ]);
    expect(rig.chain.submits.map(({ count }) => count)).toEqual([1]);
  });

  test("may be taken in part, and go on when they come again", async () => {
    const { raw, hashes } = await signBatch([{}, {}, {}, {}]);
    hashes.slice(2).forEach((hash) => rig.chain.planted.set(hash.slice(2), { code: SUBMIT.busy }));
    const answer = sendAll(rig.url, [raw], 1);
    await isAccepted(4);
    rig.chain.closeBlock();
    const text = "too many transactions are waiting: send again later";
    const [accepted, receipts, end] = (await answer) as unknown[][];
    expect([accepted, end]).toEqual([
      ["accepted", 2, null, [[0, 2, -32_005, text, [], 2]]],
      ["end", 2],
    ]);
    expect(receiptsOf(receipts?.[2]).map(({ call }) => call)).toEqual([0, 1]);
    rig.chain.planted.clear();
    const hold = rig.chain.archive.queries.length;
    const again = sendAll(rig.url, [raw], 1);
    await expect.poll(() => rig.chain.archive.queries.length).toBeGreaterThan(hold);
    rig.chain.closeBlock();
    expect((await again).map((value) => (value as unknown[])[1])).toEqual([4, expect.anything(), expect.anything(), 4]);
  });

  test("behind a transaction that is refused are taken, over JSON too", async () => {
    const { raw, hashes } = await signBatch([{}, {}]);
    const batch = [await sign({ value: 1n }, dave), raw].map((raw, id) => ({
      ...{ jsonrpc: "2.0", id, method: "eth_sendRawTransaction" },
      params: [raw],
    }));
    const answers = (await (await rig.post(batch)).json()) as RpcAnswer[];
    expect(answers.map(({ result, error }) => result ?? error?.code)).toEqual([-32_000, hashes[0]]);
  });

  test("count by their calls", async () => {
    await rig.stop();
    rig = await startRig({ limits: { binaryCallsMax: 5 } });
    const raws = await Promise.all([alice, bob].map(async (account) => (await signBatch([{}, {}, {}], { account })).raw));
    const response = await post(rig.url, bodyOf(raws));
    expect([response.status, await valuesOf(response)]).toEqual([
      413,
      [["error", -32_600, "too many calls: more than 5 in one body"]],
    ]);
    expect(rig.chain.submits).toEqual([]);
  });
});
