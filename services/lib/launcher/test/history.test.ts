/** The history account (EIP-2935) over four partitions, under traffic, before and after it moves. */
import { HISTORY_ADDRESS, HISTORY_CODE, assert, hexOf } from "@meridian/core";
import { RpcSource, describeDifference, verify } from "@meridian/verify";
import { type Abi, encodeFunctionData } from "viem";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestAccount, testAccounts } from "../src/accounts.ts";
import { pin } from "../src/admin/admin.ts";
import { compile } from "../src/workload/compile.ts";
import { sendLane } from "../src/workload/send.ts";
import { type Signed, sign } from "../src/workload/sign.ts";
import { createdAddress, nextNonces, sendAndConfirm } from "../src/workload/token.ts";
import { CHAIN_ID, type TestCluster, startTestCluster } from "./cluster.ts";

const PARTITIONS = 4;
const ASKERS = 24;
const ROUNDS = 5;
const BACK = 10;
const GAS_LIMIT = 1_000_000;
const MOVE_MS = 40_000;
const ROUND_MS = 90;
const HISTORY = `0x${hexOf(HISTORY_ADDRESS)}`;

let on: TestCluster;
let abi: Abi;
const askers: Uint8Array[] = []; // contracts, one on each partition
const accounts = testAccounts(80);
const senders = accounts.slice(0, ASKERS);

beforeAll(async () => {
  on = await startTestCluster({ partitions: PARTITIONS, hosts: 2, funded: ASKERS, admin: true });
  const contract = compile("TestHistory.sol")["TestHistory"];
  assert(contract !== undefined, "the contract is compiled");
  abi = contract.abi;
  const nonces = await nextNonces(on.rpc, accounts);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const index = accounts.findIndex(
      (account, at) => at >= ASKERS && on.ranges.ownerOf(createdAddress(account, nonces[at] ?? 0), 0) === partition,
    );
    const [deployer, nonce] = [accounts[index] as TestAccount, nonces[index] ?? 0];
    const creation = { nonce, to: null, data: contract.initCode, valueWei: 0n, gasLimit: GAS_LIMIT };
    await sendAndConfirm(on.rpc, [sign(CHAIN_ID, deployer, creation)]);
    askers.push(createdAddress(deployer, nonce));
  }
});
afterAll(() => on.stop());

/** Every sender asks one contract and pays another sender, again and again: some in every moment of a block. */
async function ask(nonces: number[], rounds: number): Promise<Signed[]> {
  const data = Buffer.from(encodeFunctionData({ abi, functionName: "compare", args: [BACK] }).slice(2), "hex");
  const asked: Signed[] = [];
  for (let round = 0; round < rounds; round++) {
    const batch = senders.flatMap((sender, index): Signed[] => {
      const nonce = nonces[index] ?? 0;
      nonces[index] = nonce + 2;
      const to = askers[(index + round) % PARTITIONS] as Uint8Array;
      const other = (senders[(index + 7) % ASKERS] as TestAccount).addressBytes;
      const asking = sign(CHAIN_ID, sender, { nonce, to, data, valueWei: 0n, gasLimit: GAS_LIMIT });
      asked.push(asking);
      return [
        asking,
        sign(CHAIN_ID, sender, { nonce: nonce + 1, to: other, data: new Uint8Array(0), valueWei: 1n, gasLimit: 21_000 }),
      ];
    });
    await sendLane(on.rpc, batch, { batch: batch.length, stallMsMax: 40_000, isPatient: true });
    await new Promise((resolve) => setTimeout(resolve, ROUND_MS)); // So that they fall into many blocks.
  }
  return asked;
}

interface Receipt {
  status: string;
  blockNumber: string;
  logs: { topics: string[]; data: string }[];
}

/** Answers to many requests of one method. */
async function askAll<T>(method: string, params: readonly unknown[][]): Promise<T[]> {
  const answers = await on.rpc.batch(params.map((list) => ({ method, params: list })));
  return answers.map((answer) => ("result" in answer ? (answer.result as T) : expect.fail(answer.error.message)));
}

/** All were right, and what they were told of their block's parent is what its header says. @returns their blocks */
async function checkAsked(asked: readonly Signed[]): Promise<number[]> {
  const read = () =>
    askAll<Receipt | null>(
      "eth_getTransactionReceipt",
      asked.map(({ hash }) => [hash]),
    );
  await expect
    .poll(async () => (await read()).every((receipt) => receipt !== null), { timeout: 60_000, interval: 250 })
    .toBe(true);
  const receipts = (await read()).filter((receipt): receipt is Receipt => receipt !== null);
  expect(new Set(receipts.map(({ status }) => status))).toEqual(new Set(["0x1"]));
  const blocks = [...new Set(receipts.map(({ blockNumber }) => blockNumber))];
  const headers = await askAll<{ parentHash: string }>(
    "eth_getBlockByNumber",
    blocks.map((block) => [block, false]),
  );
  const parents = new Map(blocks.map((block, index) => [block, headers[index]?.parentHash]));
  for (const { blockNumber, logs } of receipts) {
    expect(logs.map(({ topics, data }) => [Number(topics[1]), data])).toEqual([[Number(blockNumber), parents.get(blockNumber)]]);
  }
  return blocks.map(Number);
}

const slotAt = (number: number, block: number): Promise<string> =>
  on.rpc.call<string>("eth_getStorageAt", HISTORY, `0x${number.toString(16)}`, `0x${block.toString(16)}`);

/** Of a block's state: the hash of its parent is in it, its own is not. */
async function checkState(block: number): Promise<void> {
  const { hash, parentHash } = await on.rpc.call<{ hash: string; parentHash: string }>(
    "eth_getBlockByNumber",
    `0x${block.toString(16)}`,
    false,
  );
  expect([await slotAt(block - 1, block), await slotAt(block, block)]).toEqual([parentHash, `0x${"0".repeat(64)}`]);
  expect(hash).not.toBe(parentHash);
}

test(
  "contracts on every partition are told what BLOCKHASH tells them, also when the account has moved",
  { timeout: 240_000 },
  async () => {
    expect(await on.rpc.call("eth_getCode", HISTORY, "latest")).toBe(`0x${hexOf(HISTORY_CODE)}`);
    expect(await on.rpc.call("eth_getTransactionCount", HISTORY, "latest")).toBe("0x1");
    const nonces = await nextNonces(on.rpc, senders);
    const before = await ask(nonces, ROUNDS);
    const [during] = await Promise.all([ask(nonces, ROUNDS), pin(on.rpc, HISTORY, PARTITIONS - 1, MOVE_MS)]);
    const after = await ask(nonces, ROUNDS);
    const blocks = await checkAsked([...before, ...during, ...after]);
    expect(blocks.length).toBeGreaterThan(5);
    const latest = Number(await on.rpc.call<string>("eth_blockNumber"));
    for (let block = latest; block > latest - 5; block--) await checkState(block);
    const data = encodeFunctionData({ abi, functionName: "hashOf", args: [BigInt(latest - 1)] });
    const { parentHash } = await on.rpc.call<{ parentHash: string }>("eth_getBlockByNumber", `0x${latest.toString(16)}`, false);
    const request = { to: `0x${hexOf(askers[1] as Uint8Array)}`, data };
    expect(await on.rpc.call("eth_call", request, `0x${latest.toString(16)}`)).toBe(parentHash);
    const report = await verify(new RpcSource(on.cluster.rpcUrl), { from: 1, to: latest, snapshot: false, differencesMax: 3 });
    expect(report.differences.map(describeDifference)).toEqual([]);
    expect(report.transactions).toBeGreaterThanOrEqual(before.length + during.length + after.length);
  },
);
