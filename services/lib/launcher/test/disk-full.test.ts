/** A full disk: transactions are refused with the reason, nothing acknowledged is lost, and it goes on when there is room. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type TestAccount, testAccounts } from "../src/accounts.ts";
import type { RpcAnswer } from "../src/workload/rpc.ts";
import { type Signed, sign } from "../src/workload/sign.ts";
import { CHAIN_ID, type TestCluster, startTestCluster } from "./cluster.ts";

const MIB = 1024 * 1024;
const DISK_BYTES = 48 * MIB;
const DATA_BYTES = 100_000;
const ROUNDS_MAX = 60;

let on: TestCluster;
const accounts = testAccounts(10);
const receiver = accounts[0] as TestAccount;

beforeAll(async () => {
  on = await startTestCluster({ jetstreamBytesMax: DISK_BYTES });
});
afterAll(() => on.stop());

/** Bytes that do not get smaller when they are compressed. */
function noise(seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: DATA_BYTES }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  });
}

const large = (sender: TestAccount, nonce: number): Signed =>
  sign(CHAIN_ID, sender, {
    nonce,
    to: receiver.addressBytes,
    data: noise(1 + nonce * accounts.length + accounts.indexOf(sender)),
    valueWei: 0n,
    gasLimit: 5_000_000,
  });

const send = (transactions: Signed[]): Promise<RpcAnswer[]> =>
  on.rpc.batch(transactions.map(({ raw }) => ({ method: "eth_sendRawTransaction", params: [raw] })));

test("a full disk refuses, loses nothing and recovers", { timeout: 120_000 }, async () => {
  const acknowledged: string[] = [];
  let refused: Signed[] = [];
  for (let nonce = 0; refused.length === 0; nonce++) {
    expect(nonce, "rounds until the disk is full").toBeLessThan(ROUNDS_MAX);
    const round = accounts.map((account) => large(account, nonce));
    const answers = await send(round);
    refused = round.filter((_, index) => "error" in (answers[index] as RpcAnswer));
    acknowledged.push(...round.filter((transaction) => !refused.includes(transaction)).map(({ hash }) => hash));
    for (const answer of answers) if ("error" in answer) expect(answer.error.message).toMatch(/full|disk|space|storage/i);
  }
  await on.cluster.restartNats({ jetstreamBytesMax: 1024 * MIB });
  await vi.waitFor(
    async () => {
      const answers = await send(refused);
      expect(answers.map((answer) => ("result" in answer ? answer.result : answer.error.message))).toEqual(
        refused.map(({ hash }) => hash),
      );
    },
    { timeout: 40_000, interval: 500 },
  );
  acknowledged.push(...refused.map(({ hash }) => hash));
  await vi.waitFor(
    async () => {
      const calls = acknowledged.map((hash) => ({ method: "eth_getTransactionReceipt", params: [hash] }));
      const receipts = (await on.rpc.batch(calls)).map((answer) => ("result" in answer ? answer.result : answer.error));
      for (const [index, receipt] of receipts.entries()) expect(receipt, acknowledged[index]).toMatchObject({ status: "0x1" });
    },
    { timeout: 40_000, interval: 500 },
  );
});
