/** Other Ethereum nodes with a chain of their own, started for one run: as fast as their own switches make them. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { IoError, bytesOfHex } from "@meridian/core";
import { RpcClient, type TestAccount, freePort, sign } from "@meridian/launcher";
import { CACHE_FOLDER, GETH, findBinary, run, sha256 } from "../binaries.ts";
import type { Setup } from "../setup.ts";

export interface PeerNode {
  name: string;
  rpcUrl: string;
  pids: () => ReadonlyMap<string, number>;
  /** Gives ETH to accounts: gas costs something there. */
  fund(rpc: RpcClient, setup: Setup, addresses: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface PeerOptions {
  chainId: number;
  folder: string;
  say: (text: string) => void;
}

const ANVIL_VERSION = "1.7.1";
const ANVIL_SHA256: Readonly<Record<string, string>> = {
  "linux-amd64": "10c1c727d6c1de973aeb160e59875b9a9a23464d6e74149ee8abb30b3500311b",
};
const BLOCK_GAS = 1_000_000_000;
const ETH_EACH = 10n ** 21n;
const READY_MS_MAX = 60_000;
const POLL_MS = 100;
const STOP_MS_MAX = 5_000;
const FUND_BATCH = 200;
const FUND_MS_MAX = 60_000;
const POOL_MAX = 200_000;

/** Anvil from its npm package, checked. One block a second. */
export async function startAnvil({ chainId, folder, say }: PeerOptions): Promise<PeerNode> {
  const binary = await anvilBinary(say);
  const port = await freePort();
  const args = ["--port", `${port}`, "--chain-id", `${chainId}`, "--gas-limit", `${BLOCK_GAS}`, "--silent"];
  const more = ["--block-base-fee-per-gas", "1", "--block-time", "1", "--order", "fifo", "--no-request-size-limit"];
  const node = await startNode("anvil", binary, [...args, ...more], { port, folder });
  const fund: PeerNode["fund"] = async (rpc, _setup, addresses) => {
    const value = `0x${ETH_EACH.toString(16)}`;
    await askAll(
      rpc,
      addresses.map((address) => ({ method: "anvil_setBalance", params: [address, value] })),
    );
  };
  return { ...node, fund };
}

/** @throws IoError PEER if the package holds another file than the one pinned here; COMMAND if npm cannot fetch it */
async function anvilBinary(say: (text: string) => void): Promise<string> {
  const named = process.env["MERIDIAN_ANVIL"];
  if (named !== undefined && named !== "") return named;
  const platform = `${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
  const name = `@foundry-rs/anvil-${platform}`;
  const want = ANVIL_SHA256[platform];
  if (want === undefined) {
    const text = `there is no pinned anvil for ${platform}; name an anvil ${ANVIL_VERSION} in MERIDIAN_ANVIL`;
    throw new IoError({ code: "PEER", text }, "never");
  }
  const home = join(CACHE_FOLDER, `anvil-${ANVIL_VERSION}`);
  const binary = join(home, "node_modules", name, "bin", "anvil");
  if (!existsSync(binary)) {
    say(`fetching anvil ${ANVIL_VERSION} from npm`);
    await mkdir(home, { recursive: true });
    const options = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
    await run("npm", ["install", "--prefix", home, ...options, `${name}@${ANVIL_VERSION}`], home);
  }
  const got = await sha256(binary);
  if (got === want) return binary;
  throw new IoError({ code: "PEER", text: `${binary} has SHA-256 ${got}, pinned is ${want}` }, "never");
}

/** geth's developer chain in memory, which makes a block whenever something waits. */
export async function startGeth({ folder, say }: PeerOptions): Promise<PeerNode> {
  const binary = await findBinary(GETH, say);
  const port = await freePort();
  const pool = ["globalslots", "accountslots", "globalqueue", "accountqueue"].map((name) => `--txpool.${name}=${POOL_MAX}`);
  const args = [
    ...["--dev", `--dev.gaslimit=${BLOCK_GAS}`, `--miner.gaslimit=${BLOCK_GAS}`, "--miner.gasprice=1", ...pool],
    ...["--http", `--http.port=${port}`, "--http.api=eth,net,web3", "--rpc.txfeecap=0", "--ipcdisable", "--nodiscover"],
    ...["--rpc.batch-request-limit=0", "--rpc.batch-response-max-size=100000000", "--port=0", "--authrpc.port=0"],
    ...["--maxpeers=0", "--verbosity=2"],
  ];
  const node = await startNode("geth", binary, args, { port, folder });
  const fund: PeerNode["fund"] = async (rpc, _setup, addresses) => {
    const [from] = await rpc.call<string[]>("eth_accounts");
    const first = Number(await rpc.call<string>("eth_getTransactionCount", from, "pending"));
    const value = `0x${ETH_EACH.toString(16)}`;
    const transfers = addresses.map((to, index) => ({ from, to, value, nonce: `0x${(first + index).toString(16)}` }));
    await askAll(
      rpc,
      transfers.map((transfer) => ({ method: "eth_sendTransaction", params: [transfer] })),
    );
    await untilFunded(rpc, addresses);
  };
  return { ...node, fund };
}

/** The account that Besu's developer chain gives ETH to; the key stands in its documentation. */
const BESU_KEY = "8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63";
const BESU_ADDRESS = "0xfe3b557e8fb62b89f4916b721be55ceb828dbd73";

/** @param home folder of a Besu distribution */
export async function startBesu(home: string, { folder, chainId }: PeerOptions): Promise<PeerNode> {
  const port = await freePort();
  const args = [
    ...["--network=dev", "--miner-enabled", `--miner-coinbase=${BESU_ADDRESS}`, "--min-gas-price=0", "--p2p-enabled=false"],
    ...["--rpc-http-enabled", `--rpc-http-port=${port}`, "--rpc-http-api=ETH,NET,WEB3", "--rpc-http-max-batch-size=1000"],
    ...[`--target-gas-limit=${BLOCK_GAS}`, "--tx-pool=sequenced", `--tx-pool-max-size=${POOL_MAX}`],
    ...["--tx-pool-limit-by-account-percentage=1", `--data-path=${join(folder, "besu")}`],
  ];
  const node = await startNode("besu", join(home, "bin", "besu"), args, { port, folder });
  const rich: TestAccount = {
    ...{ address: BESU_ADDRESS, addressBytes: bytesOfHex(BESU_ADDRESS), privateKey: bytesOfHex(BESU_KEY) },
  };
  const fund: PeerNode["fund"] = async (rpc, setup, addresses) => {
    const fees = { tipWei: 10n ** 9n, capWei: 10n ** 11n };
    const signed = addresses.map((to, nonce) => {
      const transfer = { nonce, to: bytesOfHex(to), data: new Uint8Array(0), valueWei: ETH_EACH, gasLimit: 21_000 };
      return sign(chainId, rich, transfer, fees);
    });
    await setup.confirm(signed);
  };
  return { ...node, fund };
}

async function askAll(rpc: RpcClient, calls: readonly { method: string; params: unknown[] }[]): Promise<void> {
  for (let first = 0; first < calls.length; first += FUND_BATCH) {
    for (const answer of await rpc.batch(calls.slice(first, first + FUND_BATCH))) {
      if ("error" in answer) throw new IoError({ code: "PEER", text: `funding: ${answer.error.message}` }, "never");
    }
  }
}

async function untilFunded(rpc: RpcClient, addresses: readonly string[]): Promise<void> {
  const endsAt = Date.now() + FUND_MS_MAX;
  for (const address of addresses) {
    while (BigInt(await rpc.call<string>("eth_getBalance", address, "latest")) < ETH_EACH) {
      if (Date.now() > endsAt)
        throw new IoError({ code: "PEER", text: `${address} got no ETH within ${FUND_MS_MAX} ms` }, "later");
      await delay(POLL_MS);
    }
  }
}

async function startNode(
  name: string,
  binary: string,
  args: string[],
  { port, folder }: { port: number; folder: string },
): Promise<Omit<PeerNode, "fund">> {
  await mkdir(folder, { recursive: true });
  const log = openSync(join(folder, `${name}.log`), "a");
  const child = spawn(binary, args, { stdio: ["ignore", log, log] });
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  const rpcUrl = `http://127.0.0.1:${port}`;
  await answering(rpcUrl, name, child);
  const pids = new Map([[name, child.pid ?? 0]]);
  const stop = async () => {
    process.off("exit", kill);
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const timer = setTimeout(kill, STOP_MS_MAX);
    if (child.exitCode === null && child.signalCode === null) await gone;
    clearTimeout(timer);
  };
  return { name, rpcUrl, pids: () => pids, stop };
}

async function answering(rpcUrl: string, name: string, child: ChildProcess): Promise<void> {
  const rpc = new RpcClient(rpcUrl);
  let failed = "";
  child.once("error", (error) => (failed = error.message));
  try {
    for (const endsAt = Date.now() + READY_MS_MAX; ; await delay(POLL_MS)) {
      try {
        await rpc.call("eth_chainId");
        return;
      } catch (error) {
        const last = error instanceof Error ? error.message : String(error);
        if (failed !== "" || child.exitCode !== null || Date.now() > endsAt)
          throw new IoError({ code: "PEER", text: `${name} does not answer: ${failed || last}` }, "never", error);
      }
    }
  } finally {
    rpc.close();
  }
}
