import { concat, numberToHex, padHex, parseEther } from "viem";
import type { Hex } from "viem";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alice, bob, carol, dave, sign, startRig, WEALTH } from "./client.ts";
import type { Rig } from "./client.ts";
import { ECHO, ENVIRONMENT, initCode, LOGGER, LOOP, REVERTER, STORE } from "./contracts.ts";

interface Receipt {
  transactionHash: Hex;
  contractAddress: Hex;
  blockHash: Hex;
  logsBloom: Hex;
}

let rig: Rig;
/** Contracts by what they do. */
const at: Record<string, Hex> = {};
let logged: Receipt;
let blockHash: Hex;
const ZERO = `0x${"0".repeat(40)}`;
const TOPIC_1 = numberToHex(1, { size: 32 });
const TOPIC_42 = numberToHex(42, { size: 32 });

beforeAll(async () => {
  rig = await startRig();
  const contracts = { logger: LOGGER, reverter: REVERTER, echo: ECHO, store: STORE, loop: LOOP, environment: ENVIRONMENT };
  const deploys = await Promise.all(
    Object.values(contracts).map((runtime, nonce) => sign({ nonce, to: undefined, data: initCode(runtime), gas: 300_000n })),
  );
  const hashes = await rig.sendAll(deploys);
  rig.chain.closeBlock(); // 1
  const receipts = (await Promise.all(hashes.map((hash) => rig.result("eth_getTransactionReceipt", hash)))) as Receipt[];
  Object.keys(contracts).forEach((name, index) => (at[name] = receipts[index]!.contractAddress));
  const toLogger = await sign({ nonce: 6, to: at.logger, data: "0xabcd" });
  const toStore = await sign({ nonce: 7, to: at.store, data: numberToHex(7, { size: 32 }) });
  const pay = await sign({ value: parseEther("0.25"), type: "legacy", gasPrice: 5n, maxFeePerGas: undefined }, bob);
  const fails = await sign({ nonce: 8, to: at.reverter, data: "0x01" });
  const [log] = await rig.sendAll([toLogger, toStore, pay, fails]);
  rig.chain.closeBlock(); // 2
  logged = (await rig.result("eth_getTransactionReceipt", log)) as Receipt;
  blockHash = logged.blockHash;
});
afterAll(async () => {
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

describe("what needs no block", () => {
  test.each<[method: string, params: unknown[], want: unknown]>([
    ["eth_chainId", [], "0x7a69"],
    ["net_version", [], "31337"],
    ["net_listening", [], true],
    ["web3_clientVersion", [], "Meridian/test"],
    ["web3_sha3", ["0x68656c6c6f"], "0x1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8"],
    ["eth_syncing", [], false],
    ["eth_gasPrice", [], "0x0"],
    ["eth_maxPriorityFeePerGas", [], "0x0"],
    ["eth_accounts", [], []],
    ["eth_blockNumber", [], "0x2"],
  ])("%s", async (method, params, want) => expect(await rig.result(method, ...params)).toEqual(want));
});

describe("state", () => {
  test.each<[what: string, method: string, params: () => unknown[], want: string]>([
    ["balance", "eth_getBalance", () => [alice.address], numberToHex(WEALTH)],
    ["balance of nobody", "eth_getBalance", () => [ZERO], "0x0"],
    ["balance before", "eth_getBalance", () => [bob.address, "0x1"], numberToHex(WEALTH)],
    ["balance by hash", "eth_getBalance", () => [carol.address, { blockHash }], numberToHex(WEALTH)],
    ["balance by bare hash", "eth_getBalance", () => [carol.address, blockHash], numberToHex(WEALTH)],
    ["balance of genesis", "eth_getBalance", () => [bob.address, "earliest"], numberToHex(WEALTH)],
    ["nonce", "eth_getTransactionCount", () => [alice.address, "latest"], "0x9"],
    ["nonce before", "eth_getTransactionCount", () => [alice.address, "0x1"], "0x6"],
    ["code", "eth_getCode", () => [at.echo, "latest"], `0x${ECHO}`],
    ["no code", "eth_getCode", () => [alice.address], "0x"],
    ["slot", "eth_getStorageAt", () => [at.store, "0x0", "latest"], numberToHex(7, { size: 32 })],
    ["slot before", "eth_getStorageAt", () => [at.store, "0x00", "0x1"], numberToHex(0, { size: 32 })],
    ["slot by a key without prefix", "eth_getStorageAt", () => [at.store, "0".repeat(64)], numberToHex(7, { size: 32 })],
  ])("%s", async (_what, method, params, want) => expect(await rig.result(method, ...params())).toBe(want));

  test.each<[what: string, method: string, params: () => unknown[], code: number, message: string]>([
    ["a block to come", "eth_getBalance", () => [alice.address, "0x3"], -32_000, "header not found"],
    ["an unknown hash", "eth_getCode", () => [alice.address, TOPIC_1], -32_000, `header for hash not found: ${TOPIC_1}`],
    [
      "too long a key",
      "eth_getStorageAt",
      () => [alice.address, `0x${"0".repeat(65)}`],
      -32_602,
      `storage key too long (want at most 32 bytes): "0x${"0".repeat(65)}"`,
    ],
    [
      "a key that is no hex",
      "eth_getStorageAt",
      () => [alice.address, "0xasdf"],
      -32_602,
      'invalid hex in storage key: "0xasdf"',
    ],
    ["no address", "eth_getBalance", () => [], -32_602, "missing value for required argument 0"],
  ])("%s", async (_what, method, params, code, message) =>
    expect((await rig.call(method, ...params())).error).toEqual({ code, message }),
  );

  test("a state that is not kept any more names the oldest", async () => {
    rig.chain.onRead = () => ({ op: "failed", failure: { code: "PRUNED", oldest: 2 } });
    const answer = await rig.call("eth_getBalance", alice.address, "0x1");
    rig.chain.onRead = () => undefined;
    expect(answer.error).toEqual({ code: -32_000, message: "state of block 1 is not kept any more, the oldest is of block 2" });
  });

  test.each<[what: string, method: string, params: unknown[], want: unknown]>([
    ["a balance", "eth_getBalance", [alice.address], expect.stringMatching(/^0x/)],
    ["a call", "eth_call", [{ to: alice.address }, "latest"], "0x"],
    ["an estimate", "eth_estimateGas", [{ to: alice.address }, "latest"], "0x5208"],
  ])(
    "%s at latest of an account that moves with the block after it waits for that block",
    async (_what, method, params, want) => {
      const moved = Number((await rig.call("eth_blockNumber")).result) + 1;
      const asked: number[] = [];
      rig.chain.onRead = (request) => {
        if (!("block" in request)) return undefined;
        asked.push(request.block);
        return request.block < moved ? { op: "failed", failure: { code: "PRUNED", oldest: moved } } : undefined;
      };
      const answering = rig.call(method, ...params);
      await expect.poll(() => asked.length).toBe(1);
      rig.chain.closeBlock();
      const answer = await answering;
      const named = await rig.call("eth_getBalance", alice.address, `0x${(moved - 1).toString(16)}`);
      rig.chain.onRead = () => undefined;
      expect(answer.result).toEqual(want);
      expect(asked.slice(0, 2)).toEqual([moved - 1, moved]);
      expect(named.error?.message).toContain(`the oldest is of block ${moved}`);
    },
  );

  test("one whose block is not sealed in time is to be asked for again", async () => {
    const moved = Number((await rig.call("eth_blockNumber")).result) + 1;
    rig.chain.onRead = () => ({ op: "failed", failure: { code: "PRUNED", oldest: moved } });
    const answer = await rig.call("eth_getBalance", alice.address, "latest");
    rig.chain.onRead = () => undefined;
    expect(answer.error?.message).toBe(
      `an account that is read has moved with block ${moved}, which is not sealed yet: ask again`,
    );
  });
});

describe("eth_call", () => {
  const call = (to: () => Hex | undefined, fields: Record<string, unknown> = {}, ...rest: unknown[]) =>
    rig.call("eth_call", { to: to(), ...fields }, ...rest);

  test("output; input goes before data", async () => {
    expect((await call(() => at.echo, { data: "0x1234" }, "latest")).result).toBe("0x1234");
    expect((await call(() => at.echo, { input: "0x12", data: "0x34" })).result).toBe("0x12");
  });

  test("a creation gives the code", async () =>
    expect((await rig.call("eth_call", { from: alice.address, data: initCode(ECHO) })).result).toBe(`0x${ECHO}`));

  test("gas is free whatever is offered: GASPRICE and BASEFEE are 0", async () => {
    const { result } = await call(() => at.environment, { gasPrice: "0x3b9aca00" }, "latest");
    expect((result as string).slice(2, 130)).toBe("0".repeat(128));
  });

  test("Error(string)", async () => {
    const data = concat([
      "0x08c379a0",
      numberToHex(32, { size: 32 }),
      numberToHex(2, { size: 32 }),
      padHex("0x6e6f", { dir: "right" }),
    ]);
    expect((await call(() => at.reverter, { data })).error).toEqual({ code: 3, message: "execution reverted: no", data });
  });

  test.each<[what: string, fields: Record<string, unknown>, to: () => Hex | undefined, code: number, message: string | RegExp]>([
    ["runs out of gas", { gas: "0x10000" }, () => at.loop, -32_000, "out of gas"],
    [
      "value that is not there",
      { from: dave.address, value: "0x1" },
      () => at.echo,
      -32_000,
      `insufficient funds for gas * price + value: address ${dave.address} have 0 want 1`,
    ],
    [
      "both fees",
      { gasPrice: "0x1", maxFeePerGas: "0x1" },
      () => at.echo,
      -32_000,
      "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
    ],
    ["another chain", { chainId: "0x1" }, () => at.echo, -32_000, "chainId does not match node's (have=1, want=31337)"],
    ["blobs", { blobVersionedHashes: [] }, () => at.echo, -32_602, /blob transactions are not supported/],
    ["set code", { authorizationList: [] }, () => at.echo, -32_602, /set code transactions are not supported/],
    [
      "odd data",
      { data: "0x1" },
      () => at.echo,
      -32_602,
      /^invalid argument 0: json: cannot unmarshal hex string of odd length into Go struct field TransactionArgs.data/,
    ],
    ["a short address", {}, () => "0x12", -32_602, "invalid argument 0: hex string has length 2, want 40 for common.Address"],
  ])("%s", async (_what, fields, to, code, message) =>
    expect((await call(to, fields)).error).toEqual({
      code,
      message: typeof message === "string" ? message : (expect.stringMatching(message) as string),
    }),
  );

  test("overrides are refused, empty ones change nothing", async () => {
    expect((await call(() => at.echo, {}, "latest", { [alice.address]: { balance: "0x0" } })).error).toEqual({
      code: -32_602,
      message: "invalid argument 2: overrides of state are not supported",
    });
    expect((await call(() => at.echo, {}, "latest", {}, { number: "0x1" })).error?.message).toBe(
      "invalid argument 3: overrides of the block are not supported",
    );
    expect((await call(() => at.echo, {}, "latest", {}, {})).result).toBe("0x");
  });

  test("an access list is read", async () => {
    const accessList = [{ address: alice.address, storageKeys: [TOPIC_1] }];
    expect((await call(() => at.echo, { accessList })).result).toBe("0x");
    expect((await call(() => at.echo, { accessList: [{ address: "0x1", storageKeys: [] }] })).error?.code).toBe(-32_602);
  });
});

describe("eth_estimateGas", () => {
  test("a plain transfer is exact", async () =>
    expect(await rig.result("eth_estimateGas", { from: alice.address, to: bob.address, value: "0x1" })).toBe("0x5208"));
  test("a call needs more", async () => {
    const gas = Number(await rig.result("eth_estimateGas", { from: alice.address, to: at.store, data: TOPIC_1 }, "latest"));
    expect(gas).toBeGreaterThan(21_000);
    expect(gas).toBeLessThan(60_000);
  });
  test("reverts, and what can never have enough gas", async () => {
    expect((await rig.call("eth_estimateGas", { to: at.reverter, data: "0x01" })).error).toEqual({
      code: 3,
      message: "execution reverted",
      data: "0x01",
    });
    expect((await rig.call("eth_estimateGas", { to: at.loop, gas: "0x186a0" })).error).toEqual({
      code: -32_000,
      message: "gas required exceeds allowance (100000)",
    });
  });
});

describe("transactions and receipts", () => {
  test("a receipt has geth's fields, logs theirs", () => {
    expect(logged).toEqual({
      blockHash,
      blockNumber: "0x2",
      contractAddress: null,
      cumulativeGasUsed: expect.stringMatching(/^0x/) as string,
      effectiveGasPrice: "0x0",
      from: alice.address.toLowerCase(),
      gasUsed: expect.stringMatching(/^0x/) as string,
      logs: [
        {
          address: at.logger,
          topics: [TOPIC_1, TOPIC_42],
          data: "0xabcd",
          blockNumber: "0x2",
          transactionHash: logged.transactionHash,
          transactionIndex: "0x0",
          blockHash,
          blockTimestamp: expect.stringMatching(/^0x/) as string,
          logIndex: "0x0",
          removed: false,
        },
      ],
      logsBloom: expect.stringMatching(/^0x[0-9a-f]{512}$/) as string,
      status: "0x1",
      to: at.logger,
      transactionHash: logged.transactionHash,
      transactionIndex: "0x0",
      type: "0x2",
    });
  });

  test("the only logs of a block make its bloom", async () =>
    expect(await rig.result("eth_getBlockByHash", blockHash, false)).toMatchObject({ logsBloom: logged.logsBloom }));

  test("a failed transaction has status 0 and no reason of this chain's", async () => {
    const receipts = (await rig.result("eth_getBlockReceipts", "0x2")) as Record<string, unknown>[];
    const failed = receipts.find(({ to }) => to === at.reverter);
    expect(failed).toMatchObject({ status: "0x0", logs: [] });
    expect(failed).not.toHaveProperty("reason");
  });

  test("type 2 by hash and by place", async () => {
    const transaction = await rig.result("eth_getTransactionByHash", logged.transactionHash);
    expect(transaction).toEqual({
      blockHash,
      blockNumber: "0x2",
      blockTimestamp: expect.stringMatching(/^0x/) as string,
      from: alice.address.toLowerCase(),
      gas: "0x186a0",
      gasPrice: "0x0",
      maxFeePerGas: "0x3b9aca00",
      maxPriorityFeePerGas: "0x0",
      hash: logged.transactionHash,
      input: "0xabcd",
      nonce: "0x6",
      to: at.logger,
      transactionIndex: "0x0",
      value: "0x0",
      type: "0x2",
      accessList: [],
      chainId: "0x7a69",
      v: expect.stringMatching(/^0x[01]$/) as string,
      r: expect.stringMatching(/^0x/) as string,
      s: expect.stringMatching(/^0x/) as string,
      yParity: expect.stringMatching(/^0x[01]$/) as string,
    });
    expect(await rig.result("eth_getTransactionByBlockNumberAndIndex", "0x2", "0x0")).toEqual(transaction);
    expect(await rig.result("eth_getTransactionByBlockHashAndIndex", blockHash, "0x0")).toEqual(transaction);
  });

  test("legacy has no fields of later types", async () => {
    const block = (await rig.result("eth_getBlockByNumber", "0x2", true)) as { transactions: Record<string, unknown>[] };
    const legacy = block.transactions.find(({ type }) => type === "0x0");
    expect(legacy).toMatchObject({ gasPrice: "0x5", value: numberToHex(parseEther("0.25")), chainId: "0x7a69" });
    expect(Object.keys(legacy ?? {})).not.toContain("yParity");
    expect(Object.keys(legacy ?? {})).not.toContain("accessList");
  });

  test.each<[what: string, method: string, params: unknown[], want: unknown]>([
    ["unknown transaction", "eth_getTransactionByHash", [TOPIC_1], null],
    ["unknown receipt", "eth_getTransactionReceipt", [TOPIC_1], null],
    ["no such place", "eth_getTransactionByBlockNumberAndIndex", ["0x2", "0x63"], null],
    ["a place in a block to come", "eth_getTransactionByBlockNumberAndIndex", ["0x63", "0x0"], null],
    ["a place in the pending block", "eth_getTransactionByBlockNumberAndIndex", ["pending", "0x0"], null],
  ])("%s", async (_what, method, params, want) => expect(await rig.result(method, ...params)).toEqual(want));
});

test.each<[what: string, method: string, params: unknown[], error: { code: number; message: string }]>([
  ["nothing there", "eth_getBlockByNumber", ["0x1"], { code: -32_602, message: "missing value for required argument 1" }],
  ["unknown method", "eth_doMagic", [], { code: -32_601, message: "the method eth_doMagic does not exist/is not available" }],
  ["subscriptions", "eth_subscribe", ["newHeads"], { code: -32_601, message: "notifications not supported" }],
  ["a name of Object's", "constructor", [], { code: -32_601, message: "the method constructor does not exist/is not available" }],
])("%s", async (_what, method, params, error) => expect((await rig.call(method, ...params)).error).toEqual(error));
