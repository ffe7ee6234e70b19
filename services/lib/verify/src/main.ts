/** `npm run verify -- --rpc URL`: replays published blocks on EthereumJS and says the first difference. */
import { Command, InvalidArgumentError } from "commander";
import { IoError } from "@meridian/core";
import { describeDifference } from "./difference.ts";
import { RpcSource } from "./rpc.ts";
import { type VerifyReport, verify } from "./verify.ts";

interface Flags {
  rpc: string;
  from: number;
  to?: number;
  snapshot: "auto" | "none";
  maxDifferences: number;
}

const PROGRESS_MS = 2_000;

function whole(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < min) throw new InvalidArgumentError(`Want a whole number from ${min} on.`);
    return value;
  };
}

function snapshotChoice(text: string): "auto" | "none" {
  if (text !== "auto" && text !== "none") throw new InvalidArgumentError("Want auto or none.");
  return text;
}

function readFlags(): Flags {
  return new Command("npm run verify --")
    .description(
      "Replays published blocks one transaction at a time on @ethereumjs/vm and compares status, gas used, logs, created\n" +
        "addresses, roots, the hash chain and, after each block, the state digest. Exits with 1 if anything differs.",
    )
    .option("--rpc <url>", "a gateway", "http://127.0.0.1:8545")
    .option("--from <block>", "first block to compare", whole(1), 1)
    .option("--to <block>", "last block to compare (default: the last sealed one)", whole(1))
    .option("--snapshot <choice>", "auto: from the newest snapshot before --from; none: from genesis", snapshotChoice, "auto")
    .option("--max-differences <count>", "stop after so many", whole(1), 10)
    .parse()
    .opts<Flags>();
}

function show({ start, transactions, blocks, crossed, batches, differences, head }: VerifyReport): void {
  const [first, ...others] = differences.map((difference) => describeDifference(difference));
  if (first !== undefined) console.log(`First difference: ${first}`);
  for (const other of others) console.log(`Then: ${other}`);
  console.log(`Started at ${start}; last compared block ${head.number} has hash ${head.hash} and state digest ${head.digest}.`);
  const share = transactions === 0 ? 0 : (crossed / transactions) * 100;
  console.log(`${crossed} of the transactions (${share.toFixed(1)} %) touched accounts of more than one partition.`);
  const { proved, unprovedCalls } = batches;
  if (proved + unprovedCalls > 0) {
    const others = unprovedCalls === 0 ? "" : `; ${unprovedCalls} calls belong to batches that are not complete in these blocks`;
    console.log(`${proved} signed batches were put together again and checked${others}.`);
  }
  console.log(`${transactions} transactions, ${blocks} blocks, ${differences.length} differences`);
}

async function main(): Promise<number> {
  const { rpc, from, to, snapshot, maxDifferences } = readFlags();
  const startedAt = Date.now();
  let shownAt = startedAt;
  const report = await verify(new RpcSource(rpc), {
    from,
    ...(to === undefined ? {} : { to }),
    snapshot: snapshot === "auto",
    differencesMax: maxDifferences,
    onProgress: ({ block, to: last, transactions }) => {
      if (Date.now() - shownAt < PROGRESS_MS) return;
      shownAt = Date.now();
      const rate = Math.round((transactions / (shownAt - startedAt)) * 1000);
      console.log(`block ${block} of ${last}, ${transactions} transactions, ${rate} a second`);
    },
  });
  show(report);
  return report.differences.length === 0 ? 0 : 1;
}

main().then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    console.error(error instanceof IoError ? error.message : error);
    process.exit(2);
  },
);
