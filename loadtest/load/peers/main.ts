/** `npm run load:peers`: the identical signed ERC-20 load to Meridian and to other nodes, one after the other, and the ratios. */
import { rm } from "node:fs/promises";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { IoError } from "@meridian/core";
import { RpcClient, table } from "@meridian/launcher";
import { K6, findBinary } from "../binaries.ts";
import { ethereumBlocks, meridianBlocks } from "../blocks.ts";
import { startLoadCluster, temporaryFolder } from "../cluster.ts";
import { number } from "../flags.ts";
import { type PreparedLoad, prepareLoad, sendLoad } from "../run.ts";
import { type LoadNumbers, numbersOf } from "../report/report.ts";
import { Setup } from "../setup.ts";
import { type PeerNode, startAnvil, startBesu, startGeth } from "./nodes.ts";

/** Of geth's and Besu's developer chains; the others take any. */
const CHAIN_ID = 1_337;
const FEES = { tipWei: 10n ** 9n, capWei: 10n ** 11n };
const STALL_MS_MAX = 30_000;
const SECONDS_MAX = 600;

const startedAt = Date.now();
const say = (text: string) => console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);

interface Flags {
  nodes: string;
  calls: number;
  request: number;
  clients: number;
  senders: number;
  contracts: number;
  besu?: string;
  partitions: number;
  hosts: number;
  blockMs: number;
}

function readFlags(): Flags {
  return new Command("npm run load:peers --")
    .description(
      "Gives the identical signed ERC-20 transfers in JSON-RPC batches to each node in turn, as fast as it answers, checks\n" +
        "receipts and balances of each, and prints how many a second each confirmed.\n" +
        "Meridian syncs every write; anvil and geth --dev keep their chains in memory.",
    )
    .option("--nodes <list>", "of meridian, anvil, geth, besu", "meridian,anvil,geth")
    .option("--calls <count>", "transfers", number(1), 50_000)
    .option("--request <calls>", "transactions in one JSON-RPC batch", number(1), 500)
    .option("--clients <count>", "connections beside each other, each waits for its answer", number(1), 4)
    .option("--senders <count>", "", number(1), 5_000)
    .option("--contracts <count>", "tokens", number(1), 64)
    .option("--besu <folder>", "of a Besu distribution (Java must be there); adds besu to the nodes")
    .option("--partitions <count>", "of Meridian", number(1), 4)
    .option("--hosts <count>", "of Meridian", number(1), 2)
    .option("--block-ms <ms>", "of Meridian", number(10), 500)
    .parse()
    .opts<Flags>();
}

interface Outcome {
  name: string;
  numbers: LoadNumbers;
  isGood: boolean;
  why: string;
}

const isMeridian = (name: string): boolean => name === "meridian";

async function startNode(name: string, flags: Flags, folder: string): Promise<PeerNode> {
  const options = { chainId: CHAIN_ID, folder: join(folder, name), say };
  if (name === "anvil") return startAnvil(options);
  if (name === "geth") return startGeth(options);
  if (name === "besu" && flags.besu !== undefined) return startBesu(flags.besu, options);
  if (!isMeridian(name)) throw new IoError({ code: "PEER", text: `there is no node ${name}, or --besu is missing` }, "never");
  const { partitions, hosts, blockMs } = flags;
  const settings = { engine: "native", durability: "power", pins: {}, profile: undefined, chainId: CHAIN_ID } as const;
  const sizes = { partitions, hosts, blockMs, gateways: 1, schedulers: 2 };
  const cluster = await startLoadCluster({ ...settings, ...sizes }, join(folder, name));
  return { ...cluster, name, fund: async () => undefined };
}

async function measure(name: string, flags: Flags, load: PreparedLoad, folder: string, k6: string): Promise<Outcome> {
  say(`${name}: starting`);
  const node = await startNode(name, flags, folder);
  const rpc = new RpcClient(node.rpcUrl);
  const tell = (text: string) => say(`${name}: ${text}`);
  try {
    const setup = new Setup({ rpc, chainId: CHAIN_ID, fees: FEES, say: tell });
    const { scenario } = load;
    await node.fund(
      rpc,
      setup,
      [...scenario.senders, ...scenario.deployers].map(({ address }) => address),
    );
    await scenario.deploy(setup);
    const readBlock = isMeridian(name) ? meridianBlocks(rpc) : ethereumBlocks(rpc);
    const target = { rpc, url: node.rpcUrl, readBlock, pids: node.pids };
    const arrival = { kind: "clients" as const, clients: flags.clients, secondsMax: SECONDS_MAX };
    const sending = { k6, folder: join(folder, "sending"), arrival, wattsPerCore: 0, stallMsMax: STALL_MS_MAX, say: tell };
    const { measured, balances } = await sendLoad(load, target, sending);
    const numbers = numbersOf(measured);
    const { missing, failed } = measured.receipts;
    const isGood = missing === 0 && failed === 0 && balances.wrong.length === 0;
    const wrong = `${missing} receipts missing, ${failed} failed, ${balances.wrong.length} balances wrong`;
    return { name, numbers, isGood, why: isGood ? "all receipts, all balances" : wrong };
  } finally {
    rpc.close();
    await node.stop();
  }
}

function show(outcomes: readonly Outcome[]): string {
  const own = outcomes.find(({ name }) => isMeridian(name))?.numbers.overallTps;
  const rows = outcomes.map(({ name, numbers, why }) => {
    const ratio = own === undefined || isMeridian(name) ? "" : `${(own / numbers.overallTps).toFixed(2)} x`;
    const nodes = numbers.processes.filter(({ name: process }) => process !== "k6" && process !== "runner");
    const cpu = nodes.reduce((sum, { microsecondsPerCall }) => sum + microsecondsPerCall, 0);
    return [name, Math.round(numbers.overallTps), ratio, cpu.toFixed(0), numbers.latencyMs.answer.p99, why];
  });
  return table([["node", "confirmed TPS", "Meridian is", "CPU us a call", "answer p99 ms", "checked"], ...rows]);
}

async function main(): Promise<number> {
  const flags = readFlags();
  const folder = await temporaryFolder();
  const end = () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(130);
  };
  process.once("SIGINT", end).once("SIGTERM", end);
  const k6 = await findBinary(K6, say);
  const { calls, request, senders, contracts, partitions } = flags;
  const shape = { mode: "jsonrpc" as const, rate: calls, seconds: 1, signedCalls: 1, requestCalls: request, senders };
  const load = await prepareLoad(
    {
      ...{ scenario: "erc20-uniform", shape, warmUpSeconds: 0, contracts, holders: senders, seed: "peers", partitions },
      ...{ chainId: CHAIN_ID, fees: FEES, isWaiting: false },
    },
    folder,
    say,
  );
  const names = [...flags.nodes.split(","), ...(flags.besu === undefined ? [] : ["besu"])];
  const outcomes: Outcome[] = [];
  for (const name of new Set(names)) outcomes.push(await measure(name, flags, load, folder, k6));
  await rm(folder, { recursive: true, force: true });
  console.log(show(outcomes));
  return outcomes.every(({ isGood }) => isGood) ? 0 : 1;
}

main().then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    console.error(error instanceof IoError ? error.message : error);
    process.exit(1);
  },
);
