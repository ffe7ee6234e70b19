/**
 * Runs Ethereum's state tests against the engine: `npm run conformance:evm -- <folder> [--engine native|wasm|auto]`, or random
 * transactions through both builds: `npm run conformance:evm -- --builds 100000`.
 */
import { Console } from "node:console";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { EngineChoice } from "../src/load.ts";
import { loadModule } from "../src/load.ts";
import type { PackedModule } from "../src/module.ts";
import type { Fixture } from "./fixture.ts";
import { compareBuilds } from "./builds.ts";
import { FREE_FORK, isTaken, runFree } from "./free.ts";
import { runCase } from "./run.ts";

const terminal = new Console(process.stdout, process.stderr);

const USAGE = `Usage: npm run conformance:evm -- <folder> [options]
       npm run conformance:evm -- --builds <transactions> [--seed <number>]

Runs every state test file (*.json) below the folder, each case with gas charged under its own fork, and compares
all accounts and the logs after it; a case that expects an exception must be refused. Cases of the fork that the chain
runs under are executed once more by the chain's own rules (free gas) and compared with Ethereum's at price 0.

With --builds so many random transactions, singles and calls of signed batches, and broken ones beside them, go through
the native and the WebAssembly build: records, results, misses, proposals, blocks, lattices and cells must be the same bytes.

Options:
  --engine <build>  native, wasm or auto (default: auto)
  --builds <count>  compare the builds
  --seed <number>   of the random transactions (default: the time)
  --help            this text`;

const CHOICES: EngineChoice[] = ["native", "wasm", "auto"];
const PROGRESS_FILES = 50;
const PROGRESS_TRANSACTIONS = 10_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    engine: { type: "string", default: "auto" },
    builds: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    help: { type: "boolean", default: false },
  },
});
const choice = CHOICES.find((name) => name === values.engine);
const folder = positionals[0];
if (values.help) {
  terminal.log(USAGE);
} else if (Number(values.builds) > 0 && Number.isInteger(Number(values.seed)) && folder === undefined) {
  runBuilds(Number(values.builds), Number(values.seed));
} else if (choice === undefined || folder === undefined || positionals.length > 1) {
  terminal.error(USAGE);
  process.exitCode = 2;
} else {
  runFolder(loadModule(choice), folder);
}

function runBuilds(count: number, seed: number): void {
  const startedAt = Date.now();
  let shown = 0;
  const onBlock = (transactions: number): void => {
    if (transactions - shown < PROGRESS_TRANSACTIONS) return;
    shown = transactions;
    terminal.log(`${transactions} of ${count} transactions the same`);
  };
  const difference = compareBuilds([loadModule("native"), loadModule("wasm")], { seed, count, onBlock });
  terminal.log(
    difference ?? `seed ${seed}: ${count} transactions, the same bytes from both builds, ${Date.now() - startedAt} ms`,
  );
  process.exitCode = difference === null ? 0 : 1;
}

function runFolder(module: PackedModule, root: string): void {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".json"))
    .sort();
  terminal.log(`${files.length} files, ${module.build} build`);
  const count = { passed: 0, failed: 0 };
  for (const [number, file] of files.entries()) {
    runFile(module, join(root, file), file, count);
    if ((number + 1) % PROGRESS_FILES === 0) terminal.log(`${number + 1} of ${files.length} files, ${count.failed} failed`);
  }
  terminal.log(`${count.passed} passed, ${count.failed} failed`);
  // A folder without a case is a mistyped path, not a success.
  process.exitCode = count.failed === 0 && count.passed > 0 ? 0 : 1;
}

function runFile(module: PackedModule, path: string, file: string, count: { passed: number; failed: number }): void {
  const fixtures = JSON.parse(readFileSync(path, "utf8")) as Record<string, Fixture>;
  for (const [name, fixture] of Object.entries(fixtures)) {
    for (const [fork, posts] of Object.entries(fixture.post)) {
      for (const post of posts) {
        note(`${file}\n  ${name} (${fork})`, runCase(module, fixture, fork, post), count);
        if (fork !== FREE_FORK || !isTaken(module, fixture, post)) continue;
        note(`${file}\n  ${name} (${fork}, free gas)`, runFree(module, fixture, post), count);
      }
    }
  }
}

function note(name: string, difference: string | null, count: { passed: number; failed: number }): void {
  if (difference === null) count.passed++;
  else count.failed++;
  if (difference !== null) terminal.log(`FAILED ${name}\n  ${difference}`);
}
