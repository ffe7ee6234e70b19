/** Signed batches over JSON-RPC, by the client that users have: sent, shown, waited for, refused. */
import { batchActions, batchId, callHashes, hashBatch, postTransactions, signBatch, unpackReceipts } from "@meridian/client";
import type { BatchCall, SerializedBatch } from "@meridian/client";
import { SUBMIT } from "@meridian/core";
import { createWalletClient, defineChain, http, parseSignature, publicActions } from "viem";
import type { Hex } from "viem";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { alice, bob, dave, sign, startRig, WEALTH } from "./client.ts";
import type { Rig } from "./client.ts";
import { initCode, LOGGER } from "./contracts.ts";
import { CHAIN_ID } from "./fake-chain.ts";

let rig: Rig;
beforeEach(async () => (rig = await startRig()));
afterEach(async () => {
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

const pay: BatchCall = { to: bob.address, value: 5n, gas: 21_000n };
const batch = (calls: readonly BatchCall[], nonce = 0, account = alice): Promise<SerializedBatch> =>
  signBatch(account, { chainId: CHAIN_ID, nonce, calls });
const send = (raw: Hex) => rig.call("eth_sendRawTransaction", raw);
const submitted = (): number => rig.chain.submits.reduce((sum, { count }) => sum + count, 0);
type Shown = Record<string, unknown>;

describe("shown", () => {
  test("the answer is the hash of call 0, and each call is a transaction with its own receipt", async () => {
    const calls = [pay, { gas: 200_000n, data: initCode(LOGGER) }, { to: dave.address, gas: 30_000n, data: "0x01" }] as const;
    const raw = await batch(calls);
    const hashes = callHashes(raw, 3);
    expect(await send(raw)).toEqual({ jsonrpc: "2.0", id: 1, result: hashes[0] });
    const pending = (await rig.result("eth_getTransactionByHash", hashes[1])) as Shown;
    expect(pending).toMatchObject({ blockHash: null, type: "0x4d", batchHash: batchId(raw), callIndex: "0x1", nonce: "0x1" });
    rig.chain.closeBlock();
    const shown = (await Promise.all(hashes.map((hash) => rig.result("eth_getTransactionByHash", hash)))) as Shown[];
    const common = {
      from: alice.address.toLowerCase(),
      type: "0x4d",
      batchHash: batchId(raw),
      gasPrice: "0x0",
      chainId: "0x7a69",
    };
    const { r, s, yParity } = await signatureOf(calls);
    const zeros = { v: "0x0", r: "0x0", s: "0x0", yParity: "0x0" };
    const signed = { v: `0x${yParity}`, r: quantity(r), s: quantity(s), yParity: `0x${yParity}`, callCount: "0x3" };
    expect(shown).toMatchObject([
      {
        ...common,
        ...signed,
        hash: hashes[0],
        callIndex: "0x0",
        nonce: "0x0",
        to: bob.address.toLowerCase(),
        value: "0x5",
        input: "0x",
      },
      { ...common, ...zeros, hash: hashes[1], callIndex: "0x1", nonce: "0x1", to: null, value: "0x0", input: initCode(LOGGER) },
      { ...common, ...zeros, hash: hashes[2], callIndex: "0x2", nonce: "0x2", gas: "0x7530", input: "0x01" },
    ]);
    expect(shown.map((transaction) => "callCount" in transaction)).toEqual([true, false, false]);
    const receipts = (await Promise.all(hashes.map((hash) => rig.result("eth_getTransactionReceipt", hash)))) as Shown[];
    const [id, type, status] = [batchId(raw), "0x4d", "0x1"];
    expect(receipts).toMatchObject([
      { batchHash: id, callIndex: "0x0", type, status, transactionIndex: "0x0", gasUsed: "0x5208" },
      {
        batchHash: id,
        callIndex: "0x1",
        type,
        status,
        transactionIndex: "0x1",
        contractAddress: expect.stringMatching(/^0x/) as string,
      },
      { batchHash: id, callIndex: "0x2", type, status, transactionIndex: "0x2" },
    ]);
    const block = (await rig.result("eth_getBlockByNumber", "latest", true)) as { transactions: Shown[] };
    expect(block.transactions).toEqual(shown);
    const single = (await rig.result("eth_getTransactionByHash", await sendOne())) as Shown;
    expect("batchHash" in single).toBe(false);
  });

  const sendOne = async (): Promise<unknown> => (await send(await sign({ nonce: 3 }))).result;
  const quantity = (word: Hex): string => `0x${BigInt(word).toString(16)}`;

  async function signatureOf(calls: readonly BatchCall[]) {
    const signature = parseSignature(await alice.sign({ hash: hashBatch({ chainId: CHAIN_ID, nonce: 0, calls }) }));
    return { ...signature, yParity: signature.yParity ?? 0 };
  }

  test("viem signs, sends and waits for each call", async () => {
    const blocks = setInterval(() => rig.chain.closeBlock(), 50);
    const nativeCurrency = { name: "Ether", symbol: "ETH", decimals: 18 };
    const chain = defineChain({ id: CHAIN_ID, name: "test", nativeCurrency, rpcUrls: { default: { http: [rig.url] } } });
    const options = { chain, transport: http(rig.url), account: alice, pollingInterval: 20, cacheTime: 0 };
    const client = createWalletClient(options).extend(publicActions).extend(batchActions);
    try {
      const first = await client.sendBatch({ calls: [pay, { to: bob.address, gas: 21_000n, value: WEALTH / 2n }] });
      const second = await client.sendBatch({ calls: [pay] });
      const hashes = [...first.hashes, ...second.hashes];
      const receipts = await Promise.all(hashes.map((hash) => client.waitForTransactionReceipt({ hash })));
      expect(receipts.map(({ status, gasUsed }) => [status, gasUsed])).toEqual(hashes.map(() => ["success", 21_000n]));
      expect(await client.getTransactionCount({ address: alice.address })).toBe(3);
      const shown = await client.getTransaction({ hash: first.hashes[1] ?? "0x" });
      expect(shown).toMatchObject({ nonce: 1, gas: 21_000n, from: alice.address.toLowerCase() });
    } finally {
      clearInterval(blocks);
    }
  });

  test("a synchronous send waits for call 0", async () => {
    const raw = await batch([pay, pay]);
    const answer = rig.call("eth_sendRawTransactionSync", raw);
    await expect.poll(submitted).toBe(2);
    rig.chain.closeBlock();
    expect((await answer).result).toMatchObject({ transactionHash: callHashes(raw, 2)[0], callIndex: "0x0", status: "0x1" });
  });

  test("a binary body of a batch and a single one streams the receipts of all calls", async () => {
    const posting = postTransactions(rig.url, [await batch([pay, pay]), await sign({}, bob)], { receipts: true, hashes: true });
    await expect.poll(submitted).toBe(3);
    const { count, refused, hashes, receipts } = await posting;
    expect([count, refused, hashes?.length]).toEqual([3, [], 2]);
    rig.chain.closeBlock();
    const found = [];
    for await (const block of receipts) found.push(...unpackReceipts(block.packed));
    expect(found.map(({ input, call, status }) => [input, call, status]).toSorted()).toEqual([
      [0, 0, "success"],
      [0, 1, "success"],
      [1, 0, "success"],
    ]);
  });
});

describe("refused", () => {
  test.each<[what: string, raw: () => Promise<Hex>, message: string]>([
    [
      "a call with too little gas",
      () => batch([pay, { ...pay, gas: 20_999n }]),
      "call 1: intrinsic gas too low: gas 20999, minimum needed 21000",
    ],
    [
      "another chain",
      () => signBatch(alice, { chainId: 5, nonce: 0, calls: [pay] }),
      "invalid chain id for signer: have 5 want 31337",
    ],
    ["no calls", () => Promise.resolve("0x4dc8827a6980c0800101"), "signed batch without calls"],
    ["one field", () => Promise.resolve("0x4dc101"), "rlp: fields do not fit a signed transaction of this type"],
    [
      "value that the calls before have spent",
      () => batch([{ ...pay, value: WEALTH }, pay]),
      `call 1: insufficient funds for gas * price + value: address ${alice.address} have ${WEALTH} want ${WEALTH + 5n}`,
    ],
  ])("%s refuses all of it", async (_what, raw, message) => {
    const answer = await send(await raw());
    expect(answer.error).toEqual({ code: -32_000, message });
    expect(rig.chain.submits).toEqual([]);
  });

  test("a call that the scheduler does not take is named; the front counts, and sending again is safe", async () => {
    const raw = await batch([pay, pay, pay]);
    const [, second = "0x"] = callHashes(raw, 3);
    rig.chain.planted.set(second.slice(2), { code: SUBMIT.busy, detail: 0 });
    const refused = await send(raw);
    expect(refused.error).toEqual({ code: -32_005, message: "call 1: too many transactions are waiting: send again later" });
    rig.chain.planted.clear();
    expect((await send(raw)).result).toBe(callHashes(raw, 3)[0]);
    rig.chain.closeBlock();
    const receipts = await Promise.all(callHashes(raw, 3).map((hash) => rig.result("eth_getTransactionReceipt", hash)));
    expect(receipts).toMatchObject([{ status: "0x1" }, { status: "0x1" }, { status: "0x1" }]);
  });

  test("others of the same request are not", async () => {
    const bad = await batch([pay, { ...pay, gas: 1n }]);
    const good = await sign({}, bob);
    const body = [bad, good].map((raw, id) => ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params: [raw] }));
    const answers = (await (await rig.post(body)).json()) as { error?: { message: string }; result?: string }[];
    expect(answers).toMatchObject([
      { error: { message: expect.stringMatching(/^call 1: /) as string } },
      { result: expect.anything() as string },
    ]);
    expect(submitted()).toBe(1);
  });
});
