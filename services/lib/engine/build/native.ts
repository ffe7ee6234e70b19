/**
 * Builds the native addon: `npm run build:native`. Needs Rust (rustup or the distribution's) and a C compiler.
 * The result lies in native/ and is not committed; the loader prefers it when it belongs to the sources.
 */
import { Console } from "node:console";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { nativePath } from "../src/native.ts";
import { CRATE, sourcesHash } from "../src/sources.ts";

const terminal = new Console(process.stdout, process.stderr);

const LIBRARY = { linux: "libmeridian_engine.so", darwin: "libmeridian_engine.dylib", win32: "meridian_engine.dll" };

const target = process.env["CARGO_TARGET_DIR"] ?? fileURLToPath(new URL("../rust/target/native", import.meta.url));
execFileSync("cargo", ["build", "--release", "--locked", "--features", "native"], {
  cwd: CRATE,
  stdio: "inherit",
  env: { ...process.env, CARGO_TARGET_DIR: target, MERIDIAN_ENGINE_SOURCES: sourcesHash() ?? "" },
});
const library = LIBRARY[process.platform as keyof typeof LIBRARY];
const place = nativePath();
mkdirSync(fileURLToPath(new URL("../native/", import.meta.url)), { recursive: true });
// A running process may have the old file mapped: a new one takes its name, the old one stays until that process ends.
copyFileSync(`${target}/release/${library}`, `${place}.new`);
renameSync(`${place}.new`, place);
terminal.log(`built ${place}`);
