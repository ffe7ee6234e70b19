/** Fails when the committed WebAssembly module does not belong to the sources: `npm run check -w @meridian/engine`. */
import { Console } from "node:console";
import { readFileSync } from "node:fs";
import { sha256, sourcesHash } from "../src/sources.ts";
import type { WasmFacts } from "../src/wasm.ts";
import { WASM_FACTS_PATH, WASM_PATH } from "../src/wasm.ts";

const terminal = new Console(process.stdout, process.stderr);

/** What does not fit, in words; empty if everything does. */
export function staleParts(): string[] {
  const facts = JSON.parse(readFileSync(WASM_FACTS_PATH, "utf8")) as WasmFacts;
  const stale: string[] = [];
  if (facts.sources !== sourcesHash()) stale.push("rust/ changed since wasm/engine.wasm was built: run `npm run engine:wasm`");
  if (facts.wasm !== sha256(readFileSync(WASM_PATH))) stale.push("wasm/engine.wasm is not the file that wasm/engine.json names");
  return stale;
}

if (import.meta.main) {
  const stale = staleParts();
  for (const text of stale) terminal.error(text);
  process.exitCode = stale.length === 0 ? 0 : 1;
}
