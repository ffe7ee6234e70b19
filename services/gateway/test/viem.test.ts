import { createPublicClient, createWalletClient, defineChain, http, numberToHex } from "viem";
import { afterEach, beforeEach, expect, test } from "vitest";
import { alice, bob, startRig, WEALTH } from "./client.ts";
import type { Rig } from "./client.ts";
import { initCode, LOGGER } from "./contracts.ts";
import { CHAIN_ID } from "./fake-chain.ts";

let rig: Rig;
let blocks: NodeJS.Timeout;
beforeEach(async () => {
  rig = await startRig();
  blocks = setInterval(() => rig.chain.closeBlock(), 50);
});
afterEach(async () => {
  clearInterval(blocks);
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

test("viem fills in, sends, waits, deploys and reads logs", async () => {
  const nativeCurrency = { name: "Ether", symbol: "ETH", decimals: 18 };
  const chain = defineChain({ id: CHAIN_ID, name: "test", nativeCurrency, rpcUrls: { default: { http: [rig.url] } } });
  const reader = createPublicClient({ chain, transport: http(rig.url), pollingInterval: 20, cacheTime: 0 });
  const writer = createWalletClient({ chain, transport: http(rig.url), account: alice });

  const paid = await reader.waitForTransactionReceipt({ hash: await writer.sendTransaction({ to: bob.address, value: 5n }) });
  expect(paid).toMatchObject({ status: "success", gasUsed: 21_000n, effectiveGasPrice: 0n, type: "eip1559" });
  expect(await reader.getBalance({ address: alice.address })).toBe(WEALTH - 5n); // Nothing for gas.

  const deployed = await writer.deployContract({ abi: [], bytecode: initCode(LOGGER) });
  const contractAddress = (await reader.waitForTransactionReceipt({ hash: deployed })).contractAddress ?? undefined;
  const called = await writer.sendTransaction({ to: contractAddress, data: "0x0102" });
  const receipt = await reader.waitForTransactionReceipt({ hash: called });
  expect(receipt.logs).toMatchObject([{ data: "0x0102", topics: [numberToHex(1, { size: 32 }), numberToHex(42, { size: 32 })] }]);

  const block = await reader.getBlock({ blockNumber: receipt.blockNumber, includeTransactions: true });
  expect(block.transactions.map(({ hash }) => hash)).toContain(called);
  expect(await reader.getLogs({ fromBlock: 0n, address: contractAddress })).toMatchObject([{ transactionHash: called }]);
  expect(await reader.getTransactionCount({ address: alice.address })).toBe(3);
  expect(await reader.estimateFeesPerGas()).toMatchObject({ maxPriorityFeePerGas: 0n });
});
