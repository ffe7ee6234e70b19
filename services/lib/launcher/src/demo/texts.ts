/** What the launcher prints: accounts, the demo's table, what to try next. */
import { PREFUNDED_COUNT, TEST_MNEMONIC, prefundedAccounts, privateKeyHex } from "../accounts.ts";
import type { DemoReport } from "./demo.ts";

/** Aligned columns; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const texts = rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en-US") : cell)));
  const widths = texts.reduce<number[]>((sofar, row) => row.map((cell, column) => Math.max(sofar[column] ?? 0, cell.length)), []);
  const isNumber = widths.map((_, column) => rows.slice(1).every((row) => typeof row[column] === "number"));
  const pad = (cell: string, column: number) => {
    const width = widths[column] ?? 0;
    return isNumber[column] === true ? cell.padStart(width) : cell.padEnd(width);
  };
  const line = (row: string[]) => `  ${row.map(pad).join("   ")}`.trimEnd();
  return texts.map(line).join("\n");
}

export function accountsText(): string {
  const accounts = prefundedAccounts();
  const addresses = accounts.map(({ address }, index) => `  (${index}) ${address}  10,000 ETH`);
  const keys = accounts.map((account, index) => `  (${index}) ${privateKeyHex(account)}`);
  return [
    `Accounts (${PREFUNDED_COUNT}; everybody knows their keys: for tests only)`,
    ...addresses,
    "",
    "Private keys",
    ...keys,
    "",
    `Mnemonic  ${TEST_MNEMONIC}`,
    "Path      m/44'/60'/0'/0/",
  ].join("\n");
}

export function demoText(report: DemoReport): string {
  const { transfers, seconds, transactionsPerSecond, acknowledgedMs, sealedMs, blocks, tokens } = report;
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const rate = Math.round(transactionsPerSecond).toLocaleString("en-US");
  return [
    "Demo",
    `  ${transfers.toLocaleString("en-US")} transfers in ${seconds.toFixed(2)} s, ${blocks} blocks: ${rate} a second`,
    `  durable (hash returned)   p50 ${ms(acknowledgedMs.p50)}   p99 ${ms(acknowledgedMs.p99)}`,
    `  in a sealed block         p50 ${ms(sealedMs.p50)}   p99 ${ms(sealedMs.p99)}`,
    "",
    table([
      ["partition", "token", "transactions", "balances exact"],
      ...tokens.map(({ partition, address, transactions, balancesChecked }) => [
        `${partition}`,
        address,
        transactions,
        balancesChecked,
      ]),
    ]),
  ].join("\n");
}

export function nextText(rpcUrl: string, chainId: number, token: string | undefined): string {
  const first = prefundedAccounts()[0];
  const account = first?.address ?? "";
  const call = token === undefined ? "" : `\n  cast call ${token} "balanceOf(address)(uint256)" ${account} --rpc-url ${rpcUrl}`;
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_blockNumber", params: [] });
  return `Try next
  curl -s ${rpcUrl} -H 'content-type: application/json' -d '${body}'${call}
  cast send ${account} --value 0 --private-key ${first === undefined ? "" : privateKeyHex(first)} --rpc-url ${rpcUrl}

  import { createPublicClient, http } from "viem";
  const client = createPublicClient({ transport: http("${rpcUrl}") });
  console.log(await client.getBlock());

  MetaMask: add a network with RPC URL ${rpcUrl}, chain id ${chainId}, currency ETH; import a private key from above

  npm run verify -- --rpc ${rpcUrl}     replays every block on EthereumJS and compares
Ctrl-C ends all processes.`;
}
