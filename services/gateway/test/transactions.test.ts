/** POST /v1/transactions by a client that has only docs/BINARY-API.md. */
import { pack } from "@meridian/bus";
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
    const answers = [alice, bob, carol].map(async (account) => sendAll(rig.url, [await sign({}, account)], 1));
    await isAccepted(3);
    await expect.poll(streaming).toBe(3);
    rig.chain.closeBlock();
    for (const answer of answers) expect((await answer).at(-1)).toEqual(["end", 1]);
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
    const first = sendAll(rig.url, await row(2), 1);
    await expect.poll(streaming).toBe(2);
    const second = await post(rig.url, bodyOf([await sign({}, bob)], 1));
    expect([second.status, await valuesOf(second)]).toEqual([
      429,
      [["error", -32_005, "too many transactions wait for their receipts: send again later"]],
    ]);
    rig.chain.closeBlock();
    expect((await first).at(-1)).toEqual(["end", 2]);
  });
});
