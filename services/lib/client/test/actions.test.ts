import { createClient, custom, keccak256, publicActions } from "viem";
import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { expect, test } from "vitest";
import { batchActions, callHashes, recoverBatchSender, signBatch } from "../src/index.ts";

const account = privateKeyToAccount(keccak256("0x02"));
const other = privateKeyToAccount(keccak256("0x03"));
const calls = [
  { to: account.address, gas: 21_000n },
  { gas: 60_000n, data: "0x00" },
] as const;

/** A chain of id 4242 on which every account has sent 5 transactions. */
function chain(): { sent: Hex[]; transport: ReturnType<typeof custom> } {
  const sent: Hex[] = [];
  const request = ({ method, params }: { method: string; params: Hex[] }): Promise<Hex> => {
    if (method === "eth_chainId") return Promise.resolve("0x1092");
    if (method === "eth_getTransactionCount") return Promise.resolve("0x5");
    sent.push(...params);
    return Promise.resolve(keccak256(params[0] ?? "0x"));
  };
  return { sent, transport: custom({ request }) };
}

test("a batch of the client's account, with its next nonce", async () => {
  const { sent, transport } = chain();
  const client = createClient({ account, transport }).extend(publicActions).extend(batchActions);
  const { serialized, hashes } = await client.sendBatch({ calls });
  const want = await signBatch(account, { chainId: 4242, nonce: 5, calls });
  expect(sent).toEqual([want]);
  expect([serialized, hashes]).toEqual([want, callHashes(want, 2)]);
});

test("a batch of another account with a given nonce", async () => {
  const { sent, transport } = chain();
  await createClient({ transport }).extend(batchActions).sendBatch({ calls, account: other, nonce: 0 });
  expect(await recoverBatchSender(sent[0] ?? "0x")).toBe(other.address);
});

test("without a local account nothing is sent", async () => {
  const { sent, transport } = chain();
  const client = createClient({ account: account.address, transport }).extend(batchActions);
  await expect(client.sendBatch({ calls })).rejects.toThrow(/local account/);
  expect(sent).toEqual([]);
});
