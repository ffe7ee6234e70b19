/** What must be true after any faults: nothing acknowledged is lost, nothing ran twice. */
import { IoError, hexOf } from "@meridian/core";
import { type RpcClient, type TestAccount, type Token, type Transfer, balancesOf, nextNonces } from "@meridian/launcher";

export interface Checked {
  receipts: number;
  blocks: number;
  /** Acknowledged transactions without receipt. */
  lost: string[];
}

/** forwarded() of TestForwarder.sol */
const FORWARDED = "0xd5273e32";

interface Receipt {
  transactionHash: string;
  status: string;
}

/**
 * Reads all receipts from block `first` on and compares them with what was acknowledged, then nonces and balances.
 * @throws IoError CHAOS if a transaction stands in two blocks or failed, or a nonce or balance is another than was sent
 */
export async function checkAfter(
  rpc: RpcClient,
  load: { transfers: readonly Transfer[]; acknowledged: ReadonlyMap<string, number> },
  { accounts, tokens, forwarders }: { accounts: TestAccount[]; tokens: Token[]; forwarders: Uint8Array[] },
  before: { first: number; nonces: readonly number[]; each: number },
): Promise<Checked> {
  const last = Number(await rpc.call<string>("eth_blockNumber"));
  const statuses = new Map<string, string>();
  for (let block = before.first; block <= last; block++) {
    for (const { transactionHash, status } of await rpc.call<Receipt[]>("eth_getBlockReceipts", `0x${block.toString(16)}`)) {
      if (statuses.has(transactionHash)) throw wrong(`${transactionHash} ran twice`);
      statuses.set(transactionHash, status);
    }
  }
  const lost = [...load.acknowledged.keys()].filter((hash) => !statuses.has(hash));
  for (const [hash, status] of statuses) if (status !== "0x1") throw wrong(`${hash} has status ${status}`);
  if (lost.length === 0) {
    await checkNonces(rpc, load.transfers, accounts, before.nonces);
    await checkBalances(rpc, load.transfers, accounts, tokens, before.each);
    await checkForwarded(rpc, load.transfers, forwarders);
  }
  return { receipts: statuses.size, blocks: last - before.first + 1, lost };
}

async function checkNonces(
  rpc: RpcClient,
  transfers: readonly Transfer[],
  accounts: readonly TestAccount[],
  before: readonly number[],
) {
  const expected = [...before];
  for (const { from } of transfers) expected[from] = (expected[from] ?? 0) + 1;
  for (const [index, nonce] of (await nextNonces(rpc, accounts)).entries()) {
    if (nonce !== expected[index]) throw wrong(`${accounts[index]?.address} has nonce ${nonce}, sent were ${expected[index]}`);
  }
}

async function checkBalances(
  rpc: RpcClient,
  transfers: readonly Transfer[],
  accounts: readonly TestAccount[],
  tokens: readonly Token[],
  each: number,
): Promise<void> {
  for (const [index, { address }] of tokens.entries()) {
    const expected = accounts.map(() => each);
    for (const { token, from, to, amount } of transfers) {
      if (token !== index) continue;
      expected[from] = (expected[from] ?? 0) - amount;
      expected[to] = (expected[to] ?? 0) + amount;
    }
    for (const [account, balance] of (await balancesOf(rpc, address, accounts)).entries()) {
      const want = expected[account] ?? 0;
      if (balance !== BigInt(want))
        throw wrong(`token ${address} says ${balance} for ${accounts[account]?.address}, not ${want}`);
    }
  }
}

/** What the forwarders have counted on their partitions is what they moved on the tokens'. */
async function checkForwarded(rpc: RpcClient, transfers: readonly Transfer[], forwarders: readonly Uint8Array[]): Promise<void> {
  let counted = 0n;
  for (const address of forwarders) {
    counted += BigInt(await rpc.call<string>("eth_call", { to: `0x${hexOf(address)}`, data: FORWARDED }, "latest"));
  }
  const want = transfers.filter(({ isForwarded }) => isForwarded).reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  if (counted !== want) throw wrong(`forwarders have counted ${counted}, moved through them were ${want}`);
}

const wrong = (text: string): IoError => new IoError({ code: "CHAOS", text }, "never");
