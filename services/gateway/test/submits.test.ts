import { encodeSubmitReply } from "@meridian/bus";
import { GAP_HEADER, SUBMIT } from "@meridian/core";
import { keccak256, toHex } from "viem";
import type { Hex } from "viem";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { accounts, alice, bob, carol, sign, startRig } from "./client.ts";
import type { Rig, RpcAnswer } from "./client.ts";

let rig: Rig;
beforeEach(async () => (rig = await startRig({ limits: { mergeMs: 20 } })));
afterEach(async () => {
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

const send = (raw: Hex): Promise<RpcAnswer> => rig.call("eth_sendRawTransaction", raw);
const replyOf = (code: number, count = 1): Uint8Array =>
  encodeSubmitReply({ term: 1, codes: new Uint8Array(count).fill(code), details: new Float64Array(count), positions: [] });

describe("merging", () => {
  test("requests that come together go together, and each gets its own answer", async () => {
    const raws = await Promise.all(accounts.map((account) => sign({}, account)));
    const answers = await Promise.all(raws.map(send));
    expect(answers.map(({ result }) => result)).toEqual(raws.map((raw) => keccak256(raw)));
    expect(rig.chain.submits.length).toBeLessThan(raws.length);
    const shared = rig.chain.submits.find(({ count }) => count > 1);
    expect(shared?.headers[GAP_HEADER]).toBe("refuse");
  });

  test("a request alone waits for its gap in the scheduler", async () => {
    await send(await sign());
    expect(rig.chain.submits).toEqual([{ count: 1, headers: {} }]);
  });

  test("a gap that only a shared message refused goes again alone", async () => {
    const gapped = await sign({ nonce: 1 }, carol);
    const [first, second, third] = await Promise.all([send(await sign()), send(gapped), send(await sign({}, bob))]);
    expect([first?.result, third?.result].every((hash) => typeof hash === "string")).toBe(true);
    expect(second?.error?.message).toBe("nonce too high: tx nonce 1, gapped nonce 0");
    const [shared, alone] = rig.chain.submits;
    expect(shared).toMatchObject({ headers: { [GAP_HEADER]: "refuse" } });
    expect(alone).toEqual({ count: 1, headers: {} });
  });

  test("a batch's nonces in a row are no gap", async () => {
    const raws = await Promise.all(Array.from({ length: 50 }, (_, nonce) => sign({ nonce })));
    const body = raws.map((raw, id) => ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params: [raw] }));
    const [batch] = await Promise.all([rig.post(body), send(await sign({}, bob))]);
    const answers = (await batch.json()) as RpcAnswer[];
    expect(answers.map(({ result }) => result)).toEqual(raws.map((raw) => keccak256(raw)));
    expect(rig.chain.submits).toEqual([{ count: 51, headers: { [GAP_HEADER]: "refuse" } }]);
  });

  test("more than may be in flight is refused at once", async () => {
    const small = await startRig({ limits: { submitInFlightMax: 1, mergeMs: 20 } });
    const call = async (account: typeof alice) => small.call("eth_sendRawTransaction", await sign({}, account));
    const answers = await Promise.all([call(alice), call(bob)]);
    const refused = answers.filter(({ error }) => error !== undefined);
    expect(refused.map(({ error }) => error)).toEqual([
      { code: -32_005, message: "too many transactions are waiting: send again later" },
    ]);
    await small.stop();
  });
});

describe("the leader", () => {
  test("changes: what the old one refused as deposed goes to the new one", async () => {
    rig.chain.onSubmit = (term, respond) => {
      if (term !== 1) return false;
      respond(replyOf(SUBMIT.notLeader));
      rig.chain.lead(2);
      return true;
    };
    const raw = await sign();
    expect((await send(raw)).result).toBe(keccak256(raw));
    expect(rig.chain.submits.length).toBe(2);
  });

  test("is gone for a moment: the request waits for the next one", async () => {
    rig.chain.silence();
    const raw = await sign();
    const answer = send(raw);
    rig.chain.lead(2);
    expect((await answer).result).toBe(keccak256(raw));
  });

  test("is nowhere: not sent, and says so", async () => {
    rig.chain.silence();
    expect((await send(await sign())).error).toEqual({
      code: -32_000,
      message: "no scheduler leads: the transaction was not sent",
    });
  });

  test("loses the answer: sent again, the scheduler knows it", async () => {
    let lost = 0;
    rig.chain.onSubmit = () => lost++ === 0;
    const raw = await sign();
    expect((await send(raw)).result).toBe(keccak256(raw));
    expect(rig.chain.submits.length).toBe(2);
  });

  test("never answers: the outcome is unknown, with the hash to ask for", async () => {
    rig.chain.onSubmit = () => true;
    const raw = await sign();
    expect((await send(raw)).error).toEqual({
      code: -32_000,
      message: "the scheduler did not answer in time: the transaction may be included or not; ask for its hash or send it again",
      data: keccak256(raw),
    });
  });

  test("is stopped and another takes over: sent to that one at once", async () => {
    const patient = await startRig({ limits: { submitAttemptMsMax: 20_000, submitMsMax: 25_000 } });
    patient.chain.onSubmit = (term) => term === 1;
    const raw = await sign();
    const answer = patient.call("eth_sendRawTransaction", raw);
    await expect.poll(() => patient.chain.submits.length).toBe(1);
    const startedAt = performance.now();
    patient.chain.lead(2);
    expect((await answer).result).toBe(keccak256(raw));
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    await patient.stop();
  });

  test("after a lost answer, `already known` may be the transaction itself", async () => {
    let tries = 0;
    rig.chain.onSubmit = (_term, respond) => {
      tries++;
      if (tries === 2) respond(replyOf(SUBMIT.alreadyKnown));
      return tries <= 2;
    };
    const raw = await sign();
    expect((await send(raw)).result).toBe(keccak256(raw));
    expect(tries).toBe(3);
  });

  test("answers nonsense: sent again", async () => {
    let tries = 0;
    rig.chain.onSubmit = (_term, respond) => {
      if (++tries > 1) return false;
      respond(replyOf(SUBMIT.accepted, 7));
      return true;
    };
    const raw = await sign();
    expect((await send(raw)).result).toBe(keccak256(raw));
  });
});

describe("eth_sendRawTransactionSync", () => {
  test("answers with the receipt once the block is sealed", async () => {
    const raw = await sign();
    const answer = rig.call("eth_sendRawTransactionSync", raw);
    await expect.poll(() => rig.chain.submits.length).toBe(1);
    await expect.poll(() => rig.result("meridian_status")).toMatchObject({ gateway: { waitingForReceipts: 1 } });
    rig.chain.closeBlock();
    expect((await answer).result).toMatchObject({ transactionHash: keccak256(raw), blockNumber: "0x1", status: "0x1" });
  });

  test("answers at once for what is sealed already", async () => {
    const raw = await sign();
    await send(raw);
    rig.chain.closeBlock();
    expect((await rig.call("eth_sendRawTransactionSync", raw)).result).toMatchObject({ blockNumber: "0x1" });
  });

  test.each<[what: string, timeout: unknown]>([
    ["a number", 30],
    ["hex", "0x1e"],
  ])("gives up after the client's time, as %s, with the hash", async (_what, timeout) => {
    const raw = await sign();
    expect((await rig.call("eth_sendRawTransactionSync", raw, timeout)).error).toEqual({
      code: 4,
      message: "The transaction was added to the log but its block was not sealed within 30 ms",
      data: keccak256(raw),
    });
  });

  test("each of a batch has its own time, also behind one that is no transaction", async () => {
    const raws = ["0x", await sign(), await sign({}, bob)];
    const method = "eth_sendRawTransactionSync";
    const batch = raws.map((raw, id) => ({ jsonrpc: "2.0", id, method, params: [raw, [70, 30, 50][id]] }));
    const answers = (await (await rig.post(batch)).json()) as RpcAnswer[];
    expect(answers.map(({ error }) => error?.message)).toEqual([
      "typed transaction too short: no bytes",
      "The transaction was added to the log but its block was not sealed within 30 ms",
      "The transaction was added to the log but its block was not sealed within 50 ms",
    ]);
  });

  test("a built block is not sealed", async () => {
    const answer = rig.call("eth_sendRawTransactionSync", await sign(), 100);
    await expect.poll(() => rig.chain.submits.length).toBe(1);
    rig.chain.closeBlock({ isSealed: false });
    expect((await answer).error?.code).toBe(4);
  });

  test("a gap says which nonce comes next (EIP-7966)", async () => {
    expect((await rig.call("eth_sendRawTransactionSync", await sign({ nonce: 4 }))).error).toEqual({
      code: 6,
      message: "nonce too high: tx nonce 4, gapped nonce 0",
      data: toHex(0),
    });
  });

  test("a wrong timeout is refused without effect", async () => {
    const answer = await rig.call("eth_sendRawTransactionSync", await sign(), "soon");
    expect(answer.error?.message).toBe("invalid argument 1: json: cannot unmarshal string into Go value of type uint64");
    expect(rig.chain.submits).toEqual([]);
  });
});

describe("read your own writes", () => {
  test("an acknowledged transaction is there by its hash before any archive has it", async () => {
    rig.chain.archive.hasPending = false;
    const raw = await sign();
    await send(raw);
    expect(await rig.result("eth_getTransactionByHash", keccak256(raw))).toMatchObject({
      hash: keccak256(raw),
      blockNumber: null,
      blockHash: null,
      transactionIndex: null,
      gasPrice: "0x3b9aca00",
    });
    expect(await rig.result("eth_getTransactionReceipt", keccak256(raw))).toBeNull();
  });

  test("reads of the present wait for what was acknowledged here", async () => {
    await send(await sign());
    await rig.result("eth_getBalance", alice.address, "pending");
    expect(rig.chain.reads.at(-1)).toMatchObject({ block: -1, atN: 2 });
    await rig.result("eth_getBalance", alice.address, "latest");
    expect(rig.chain.reads.at(-1)).toMatchObject({ block: 0, atN: 0 });
  });

  test("latest never goes back", async () => {
    rig.chain.closeBlock();
    rig.chain.closeBlock();
    expect(await rig.result("eth_blockNumber")).toBe("0x2");
    rig.chain.silence(); // No other beat comes between.
    rig.chain.beat({ term: 3, latest: { number: 1, hash: new Uint8Array(32), timestamp: 1 } });
    await expect.poll(() => rig.result("meridian_status")).toMatchObject({ beat: { term: 3 } });
    expect(await rig.result("eth_blockNumber")).toBe("0x2");
    rig.chain.beat({ term: 2, leader: "deposed" });
    expect(await rig.result("meridian_status")).toMatchObject({ beat: { term: 3, leader: "test" } });
  });
});
