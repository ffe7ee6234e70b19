import { numberToHex } from "viem";
import type { Hex } from "viem";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alice, bob, sign, startRig } from "./client.ts";
import type { Rig } from "./client.ts";
import { initCode, LOGGER } from "./contracts.ts";

interface Block {
  hash: Hex;
  parentHash: Hex;
  number: Hex;
  transactions: Hex[];
}

let rig: Rig;
let loggers: Hex[];
const TOPIC_1 = numberToHex(1, { size: 32 });
const TOPIC_42 = numberToHex(42, { size: 32 });

beforeAll(async () => {
  rig = await startRig();
  const deploy = { to: undefined, data: initCode(LOGGER), gas: 300_000n };
  const hashes = await rig.sendAll([await sign({ ...deploy, nonce: 0 }), await sign({ ...deploy, nonce: 1 })]);
  rig.chain.closeBlock(); // 1
  const receipts = await Promise.all(hashes.map((hash) => rig.result("eth_getTransactionReceipt", hash)));
  loggers = receipts.map((receipt) => (receipt as { contractAddress: Hex }).contractAddress);
  await rig.sendAll(
    await Promise.all([2, 3, 4].map((nonce) => sign({ nonce, to: loggers[nonce % 2], data: numberToHex(nonce) }))),
  );
  rig.chain.closeBlock(); // 2
  rig.chain.closeBlock(); // 3, empty
  await rig.sendAll([await sign({}, bob)]);
  rig.chain.closeBlock({ isSealed: false }); // 4, built and not sealed
});
afterAll(async () => {
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

const block = (by: string, isWhole = false) => rig.result("eth_getBlockByNumber", by, isWhole) as Promise<Block | null>;

describe("blocks", () => {
  test("a block has geth's fields of this hardfork", async () => {
    const found = await block("0x2");
    expect(Object.keys(found ?? {}).sort()).toEqual(
      [
        ...[
          "baseFeePerGas",
          "blobGasUsed",
          "difficulty",
          "excessBlobGas",
          "extraData",
          "gasLimit",
          "gasUsed",
          "hash",
          "logsBloom",
        ],
        ...["miner", "mixHash", "nonce", "number", "parentBeaconBlockRoot", "parentHash", "receiptsRoot", "requestsHash"],
        ...["sha3Uncles", "size", "stateRoot", "timestamp", "transactions", "transactionsRoot", "uncles", "withdrawals"],
        "withdrawalsRoot",
      ].sort(),
    );
    expect(found).toMatchObject({ number: "0x2", baseFeePerGas: "0x0", withdrawals: [], uncles: [], gasLimit: "0x1c9c380" });
    expect(found?.transactions).toHaveLength(3);
    expect(await rig.result("eth_getBlockByHash", found?.hash, false)).toEqual(found);
  });

  test("blocks are a chain from genesis", async () => {
    const blocks = await Promise.all(["0x0", "0x1", "0x2", "0x3"].map((number) => block(number)));
    expect(blocks[0]?.parentHash).toBe(`0x${"0".repeat(64)}`);
    blocks.slice(1).forEach((found, index) => expect(found?.parentHash).toBe(blocks[index]?.hash));
  });

  test.each<[tag: string, number: Hex]>([
    ["latest", "0x3"],
    ["safe", "0x3"],
    ["finalized", "0x3"],
    ["earliest", "0x0"],
  ])("%s", async (tag, number) => expect((await block(tag))?.number).toBe(number));

  test("pending stands on latest and has no transactions, hash, nonce or miner", async () => {
    const [pending, latest] = [await block("pending", true), await block("latest")];
    expect(pending).toMatchObject({ number: "0x4", hash: null, nonce: null, miner: null, transactions: [] });
    expect(pending?.parentHash).toBe(latest?.hash);
    expect(Object.keys(pending ?? {}).sort()).toEqual(Object.keys(latest ?? {}).sort());
  });

  test("a body that takes several replies is put together", async () => {
    const whole = await block("0x2", true);
    rig.chain.archive.bodyMax = 1;
    expect(await block("0x2", true)).toEqual(whole);
    expect(await rig.result("eth_getBlockReceipts", "0x2")).toHaveLength(3);
    rig.chain.archive.bodyMax = 1_000;
  });

  test("a built block is not there before its seal, nor are its receipts", async () => {
    const built = rig.chain.archive.blocks[4]!;
    const hash = `0x${Buffer.from(built.hash).toString("hex")}`;
    const transaction = `0x${Buffer.from(built.transactionHashes).toString("hex")}`;
    expect(await block("0x4")).toBeNull();
    expect(await rig.result("eth_getBlockByHash", hash, false)).toBeNull();
    expect(await rig.result("eth_getBlockReceipts", hash)).toBeNull();
    expect(await rig.result("eth_getTransactionReceipt", transaction)).toBeNull();
    expect(await rig.result("eth_getTransactionByHash", transaction)).toMatchObject({ blockNumber: null });
    expect(await rig.result("eth_getTransactionByBlockHashAndIndex", hash, "0x0")).toBeNull();
    expect((await rig.call("eth_getLogs", { blockHash: hash })).error).toEqual({ code: -32_000, message: "unknown block" });
  });

  test.each<[what: string, method: string, params: unknown[], want: unknown]>([
    ["count by number", "eth_getBlockTransactionCountByNumber", ["0x2"], "0x3"],
    ["count of genesis", "eth_getBlockTransactionCountByNumber", ["0x0"], "0x0"],
    ["count of pending", "eth_getBlockTransactionCountByNumber", ["pending"], "0x0"],
    ["count to come", "eth_getBlockTransactionCountByNumber", ["0x99"], null],
    ["count by unknown hash", "eth_getBlockTransactionCountByHash", [TOPIC_1], null],
    ["block to come", "eth_getBlockByNumber", ["0x99", false], null],
    ["block by unknown hash", "eth_getBlockByHash", [TOPIC_1, true], null],
    ["receipts of genesis", "eth_getBlockReceipts", ["earliest"], []],
    ["receipts of an empty block", "eth_getBlockReceipts", ["latest"], []],
    ["receipts to come", "eth_getBlockReceipts", ["0x99"], null],
    ["receipts by unknown hash", "eth_getBlockReceipts", [TOPIC_1], null],
  ])("%s", async (_what, method, params, want) => expect(await rig.result(method, ...params)).toEqual(want));

  test("receipts of a block add up", async () => {
    const receipts = (await rig.result("eth_getBlockReceipts", "0x2")) as {
      gasUsed: Hex;
      cumulativeGasUsed: Hex;
      logs: { logIndex: Hex }[];
      transactionHash: Hex;
    }[];
    let sum = 0;
    for (const receipt of receipts) expect(Number(receipt.cumulativeGasUsed)).toBe((sum += Number(receipt.gasUsed)));
    expect(receipts.flatMap(({ logs }) => logs.map(({ logIndex }) => logIndex))).toEqual(["0x0", "0x1", "0x2"]);
    for (const receipt of receipts) {
      expect(await rig.result("eth_getTransactionReceipt", receipt.transactionHash)).toEqual(receipt);
    }
  });

  test("what the archive let go says so with EIP-4444's code", async () => {
    rig.chain.archive.onQuery = () => ({ op: "failed", failure: { code: "PRUNED", oldest: 2 } });
    const answer = await rig.call("eth_getBlockByNumber", "0x1", false);
    rig.chain.archive.onQuery = () => undefined;
    expect(answer.error).toEqual({ code: 4_444, message: "pruned history unavailable: the oldest block is 2" });
  });
});

describe("eth_getLogs", () => {
  const logs = async (filter: Record<string, unknown>) =>
    (await rig.result("eth_getLogs", filter)) as { data: Hex; logIndex: Hex }[];

  test.each<[what: string, filter: () => Record<string, unknown>, data: string[]]>([
    ["all", () => ({ fromBlock: "earliest", toBlock: "latest" }), ["0x2", "0x3", "0x4"]],
    ["of latest by default", () => ({}), []],
    ["of one block", () => ({ fromBlock: "0x2", toBlock: "0x2" }), ["0x2", "0x3", "0x4"]],
    ["of a block before", () => ({ fromBlock: "0x1", toBlock: "0x1" }), []],
    ["of one contract", () => ({ fromBlock: "0x0", address: loggers[1] }), ["0x3"]],
    ["of several contracts", () => ({ fromBlock: "0x0", address: loggers }), ["0x2", "0x3", "0x4"]],
    ["by topic", () => ({ fromBlock: "0x0", topics: [TOPIC_1] }), ["0x2", "0x3", "0x4"]],
    ["by the second topic", () => ({ fromBlock: "0x0", topics: [null, TOPIC_42] }), ["0x2", "0x3", "0x4"]],
    ["any of", () => ({ fromBlock: "0x0", topics: [[TOPIC_42, TOPIC_1], []] }), ["0x2", "0x3", "0x4"]],
    ["none of", () => ({ fromBlock: "0x0", topics: [TOPIC_42] }), []],
    ["more topics than there are", () => ({ fromBlock: "0x0", topics: [null, null, TOPIC_1] }), []],
  ])("%s", async (_what, filter, data) =>
    expect((await logs(filter())).map((log) => `0x${Number(log.data).toString(16)}`)).toEqual(data),
  );

  test("by a block's hash", async () => {
    const hash = (await block("0x2"))?.hash;
    expect(await logs({ blockHash: hash, address: loggers[0] })).toMatchObject([{ logIndex: "0x0" }, { logIndex: "0x2" }]);
  });

  test.each<[what: string, filter: unknown, code: number, message: string]>([
    ["turned over", { fromBlock: "0x3", toBlock: "0x2" }, -32_602, "invalid block range params"],
    ["beyond the head", { fromBlock: "0x2", toBlock: "0x9" }, -32_602, "block range extends beyond current head block"],
    ["pending", { fromBlock: "pending" }, -32_602, "pending logs are not supported"],
    [
      "hash and range",
      { blockHash: TOPIC_1, fromBlock: "0x1" },
      -32_602,
      "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
    ],
    ["unknown block", { blockHash: TOPIC_1 }, -32_000, "unknown block"],
    ["five topics", { topics: [null, null, null, null, null] }, -32_602, "invalid argument 0: exceed max topics"],
    ["a topic that is a number", { topics: [1] }, -32_602, "invalid argument 0: invalid topic(s)"],
    [
      "a short topic",
      { topics: ["0x12"] },
      -32_602,
      "invalid argument 0: hex has invalid length 1 after decoding; expected 32 for topic",
    ],
    ["an address that is a number", { address: [1] }, -32_602, "invalid argument 0: non-string address at index 0"],
    [
      "a short address",
      { address: ["0x12"] },
      -32_602,
      "invalid argument 0: invalid address at index 0: hex has invalid length 1 after decoding; expected 20 for address",
    ],
    ["addresses that are an object", { address: {} }, -32_602, "invalid argument 0: invalid addresses in query"],
    ["no object", "x", -32_602, "invalid argument 0: json: cannot unmarshal string into Go value of type filters.input"],
  ])("%s", async (_what, filter, code, message) =>
    expect((await rig.call("eth_getLogs", filter)).error).toEqual({ code, message }),
  );

  test("more than an archive gives at once", async () => {
    rig.chain.archive.onQuery = ({ op }) =>
      op === "logs" ? { op: "failed", failure: { code: "TOO_MANY_LOGS", limit: 10_000 } } : undefined;
    const answer = await rig.call("eth_getLogs", {});
    rig.chain.archive.onQuery = () => undefined;
    expect(answer.error).toEqual({ code: -32_005, message: "query returned more than 10000 results" });
  });
});

describe("eth_feeHistory", () => {
  test("zeros, and how full blocks were", async () => {
    expect(await rig.result("eth_feeHistory", "0x2", "0x2", [25, 75])).toEqual({
      oldestBlock: "0x1",
      reward: [
        ["0x0", "0x0"],
        ["0x0", "0x0"],
      ],
      baseFeePerGas: ["0x0", "0x0", "0x0"],
      gasUsedRatio: [expect.closeTo(0.004, 2), expect.closeTo(0.002, 2)],
      baseFeePerBlobGas: ["0x0", "0x0", "0x0"],
      blobGasUsedRatio: [0, 0],
    });
  });

  test.each<[what: string, params: unknown[], want: object]>([
    [
      "more than there are",
      ["0x99", "latest", []],
      { oldestBlock: "0x0", gasUsedRatio: [0, expect.any(Number), expect.any(Number), 0] },
    ],
    ["a number and pending", [1, "pending", []], { oldestBlock: "0x3" }],
    ["none", ["0x0", "latest", []], { oldestBlock: "0x0", gasUsedRatio: [] }],
  ])("%s", async (_what, params, want) => expect(await rig.result("eth_feeHistory", ...params)).toMatchObject(want));

  test.each<[what: string, params: unknown[], code: number, message: string]>([
    ["beyond the head", ["0x1", "0x63", []], -32_000, "request beyond head block: requested 99, head 3"],
    ["percentile above 100", ["0x1", "latest", [101]], -32_000, "invalid reward percentile: 101.000000"],
    ["percentiles out of order", ["0x1", "latest", [5, 3]], -32_000, "invalid reward percentile: #0:5.000000 >= #1:3.000000"],
    ["no percentiles", ["0x1", "latest"], -32_602, "missing value for required argument 2"],
  ])("%s", async (_what, params, code, message) =>
    expect((await rig.call("eth_feeHistory", ...params)).error).toEqual({ code, message }),
  );
});

describe("meridian_", () => {
  test("status, range map, genesis", async () => {
    expect(await rig.result("meridian_status")).toMatchObject({
      latest: { number: 3 },
      beat: { term: 1, leader: "test", open: { number: 5 }, positions: { 0: expect.any(Number) as number } },
      leads: true,
      mapVersion: 1,
      gateway: { decoding: 0, submitting: 0 },
    });
    expect(await rig.result("meridian_rangeMap")).toMatchObject({ version: 1, ranges: [{ partition: 0 }, { partition: 1 }] });
    const genesis = (await rig.result("meridian_genesis")) as { cells: string };
    expect(genesis).toMatchObject({ chainId: 31_337, blockMs: 500, timestamp: 1_700_000_000, blockGasLimit: 30_000_000 });
    expect(genesis.cells).toContain(alice.address.slice(2).toLowerCase());
  });

  test("a block as the archive has it", async () => {
    const { transactions, results, header, hash } = rig.chain.archive.blocks[2]!;
    const hex = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}`;
    expect(await rig.result("meridian_block", "0x2")).toEqual({
      number: "0x2",
      hash: hex(hash),
      header: hex(header),
      transactionCount: "0x3",
      transactions: hex(transactions),
      results: hex(results),
    });
    expect(await rig.result("meridian_block", "0x63")).toBeNull();
    expect(await rig.result("meridian_block", "0x63", 0)).toBeNull();
  });

  test("a block in parts", async () => {
    const { transactions, results } = rig.chain.archive.blocks[2]!;
    rig.chain.archive.bodyMax = 2;
    const part = (...bounds: unknown[]) => rig.result("meridian_block", "0x2", ...bounds) as Promise<Record<string, string>>;
    const parts = [await part(0), await part(2), await part(3)];
    rig.chain.archive.bodyMax = Infinity;
    for (const [name, whole] of [["transactions", transactions] as const, ["results", results] as const]) {
      expect(parts.map((each) => each[name]!.slice(2)).join("")).toBe(Buffer.from(whole).toString("hex"));
    }
    expect(parts.map(({ transactionCount }) => transactionCount)).toEqual(["0x3", "0x3", "0x3"]);
    expect((await part(1, 1)).transactions!.length).toBeLessThan((await part(1)).transactions!.length);
  });

  test("snapshots: none yet; only chunks are given out", async () => {
    expect(await rig.result("meridian_snapshot", 0)).toEqual([]);
    expect((await rig.call("meridian_snapshot", 9)).error?.message).toBe("invalid argument 0: there is no partition 9");
    expect(await rig.result("meridian_snapshotChunk", "snapshot/0/1/000000")).toBeNull();
    expect((await rig.call("meridian_snapshotChunk", "genesis")).error?.code).toBe(-32_602);
    await rig.chain.bus.objects.put("snapshot/0/1/000001", Uint8Array.of(1, 2));
    expect(await rig.result("meridian_snapshotChunk", "snapshot/0/1/000001")).toBe("0x0102");
  });
});
