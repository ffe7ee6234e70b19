/** `npm start`: starts a local cluster, shows it working, stays up until Ctrl-C. */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError, Option } from "commander";
import { type IoError, isIoError } from "@meridian/core";
import { watchAncestors } from "./ancestors.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { runDemo } from "./demo/demo.ts";
import { accountsText, demoText, nextText } from "./demo/texts.ts";
import { type ChainFacts, readFacts, resetFolder } from "./folder.ts";
import { readPins, refuseOtherPins } from "./pins.ts";
import { type ClusterEvent, type ClusterOptions, clusterDefaults } from "./options.ts";

interface Flags {
  demo: boolean;
  partitions?: number;
  hosts: number;
  port: number;
  data?: string;
  blockMs?: number;
  chainId?: number;
  durability: "process" | "power";
  engine: "auto" | "native" | "wasm";
  admin: boolean;
  pins?: string;
  reset: boolean;
}

const DATA_FOLDER = fileURLToPath(new URL("../../../../.meridian/data", import.meta.url));
const DEMO_ACCOUNTS = 500;
const DEMO_TRANSFERS = 10_000;

const startedAt = Date.now();
const since = () => `${((Date.now() - startedAt) / 1000).toFixed(1).padStart(5)} s`;
const say = (text: string) => console.log(`${since()}  ${text}`);

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`Want an integer from ${min} to ${max}.`);
    return value;
  };
}

function readFlags(): Flags {
  const { partitions, hosts, port, blockMs, chainId, durability, engine } = clusterDefaults;
  return new Command("npm start --")
    .description("Starts nats-server and Meridian's services on this machine, runs a demo, and stays up until Ctrl-C.")
    .option("--no-demo", "start only")
    .option("--partitions <count>", `partitions of a new chain (default: ${partitions})`, integer(1, 64))
    .option("--hosts <count>", "processes that the partitions are spread over", integer(1, 64), hosts)
    .option("--port <port>", "of JSON-RPC on 127.0.0.1; 0 takes a free one", integer(0, 65_535), port)
    .option("--data <folder>", "everything is kept here (default: .meridian/data in the checkout)")
    .option("--block-ms <ms>", `time between blocks of a new chain (default: ${blockMs})`, integer(50, 60_000))
    .option("--chain-id <id>", `of a new chain (default: ${chainId})`, integer(1, Number.MAX_SAFE_INTEGER))
    .addOption(
      new Option("--durability <what>", "what acknowledged work survives").choices(["process", "power"]).default(durability),
    )
    .addOption(new Option("--engine <build>", "build of the EVM engine").choices(["auto", "native", "wasm"]).default(engine))
    .option("--admin", "also answer admin_ methods: npm run meridian -- --help", false)
    .option("--pins <file>", 'where accounts of a new chain live: JSON {"0x address": partition}')
    .option("--reset", "delete the data folder first", false)
    .addHelpText(
      "after",
      "\nEnvironment: MERIDIAN_NATS_SERVER names a nats-server binary to use; OTEL_* and LOG_LEVEL go to all services.",
    )
    .parse()
    .opts<Flags>();
}

/** What was not asked for is taken as the folder's chain has it. */
function factsOf(flags: Flags, known: ChainFacts | undefined): ChainFacts {
  const { chainId, partitions, blockMs } = known ?? clusterDefaults;
  return { chainId: flags.chainId ?? chainId, partitions: flags.partitions ?? partitions, blockMs: flags.blockMs ?? blockMs };
}

/** Paths on the command line are relative to where npm was called. */
const callerFolder = (): string => process.env["INIT_CWD"] ?? ".";

async function pinsOf({ pins: file }: Flags, dataFolder: string, partitions: number): Promise<Record<string, number>> {
  if (file === undefined) return {};
  const pins = await readPins(resolve(callerFolder(), file), partitions);
  await refuseOtherPins(dataFolder, pins);
  return pins;
}

function show(event: ClusterEvent): void {
  switch (event.kind) {
    case "note":
      return say(event.text);
    case "starting":
      return;
    case "started":
      return say(`${event.name} runs as process ${event.pid}`);
    case "ended":
      return say(`${event.name} ended (${event.how}); starting it again in ${event.restartMs} ms`);
    case "gaveUp":
      console.error(`\n${event.name} ended ${event.crashes} times within a minute (last: ${event.how}) and is given up.`);
      console.error(`The end of ${event.logFile}:\n${event.tail}`);
  }
}

/** Resolves when somebody wants this process to end, or a service was given up. */
function endWanted(): { ended: Promise<number>; end: (exitCode: number) => void } {
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => end(0));
  if (process.env["npm_lifecycle_event"] !== undefined) watchAncestors(() => end(0));
  return { ended, end };
}

async function demo(cluster: Cluster, chainId: number): Promise<string | undefined> {
  await cluster.ready();
  const report = await runDemo({ rpcUrl: cluster.rpcUrl, chainId, accounts: DEMO_ACCOUNTS, transfers: DEMO_TRANSFERS, say });
  console.log(`\n${demoText(report)}\n`);
  return report.tokens[0]?.address;
}

/** The sentence of a failure that has one; else its code and facts. */
function textOf({ detail, message }: IoError<{ code: string; text?: string }>): string {
  return detail.text ?? message;
}

async function main(): Promise<number> {
  const flags = readFlags();
  const dataFolder = flags.data === undefined ? DATA_FOLDER : resolve(callerFolder(), flags.data);
  if (flags.reset) await resetFolder(dataFolder);
  const facts = factsOf(flags, await readFacts(dataFolder));
  const pins = await pinsOf(flags, dataFolder, facts.partitions);
  const { ended, end } = endWanted();
  const onEvent = (event: ClusterEvent) => {
    show(event);
    if (event.kind === "gaveUp") end(1);
  };
  const { hosts, port, durability, engine, admin } = flags;
  const natsServer = process.env["MERIDIAN_NATS_SERVER"];
  const options: Partial<ClusterOptions> & { dataFolder: string } = {
    dataFolder,
    hosts,
    port,
    durability,
    engine,
    admin,
    pins,
    natsServer,
    onEvent,
    ...facts,
  };
  say(`data folder ${dataFolder}`);
  const cluster = await startCluster(options);
  const work = async (): Promise<number> => {
    await cluster.answering();
    say(`JSON-RPC answers at ${cluster.rpcUrl}, chain id ${facts.chainId}`);
    console.log(`\n${accountsText()}\n\nRPC URL   ${cluster.rpcUrl}\nChain id  ${facts.chainId}\n`);
    const token = flags.demo ? await demo(cluster, facts.chainId) : undefined;
    console.log(nextText(cluster.rpcUrl, facts.chainId, token));
    return ended;
  };
  try {
    return await Promise.race([work(), ended]);
  } finally {
    say("ending all processes");
    await cluster.stop();
    say("all processes have ended");
  }
}

main().then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    console.error(isIoError(error) ? textOf(error) : error);
    process.exit(1);
  },
);
