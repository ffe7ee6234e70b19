/**
 * Builds the committed WebAssembly module: `npm run build:wasm`.
 *
 * Shared memory needs a standard library built with atomics, so the library's sources are needed and an unstable flag:
 * - with rustup: `rustup component add rust-src`
 * - Debian: packages rustc-web (or rustc), rust-web-src (or rust-src), lld
 */
import { Console } from "node:console";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CRATE, sha256, sourcesHash } from "../src/sources.ts";
import type { WasmFacts } from "../src/wasm.ts";
import { WASM_FACTS_PATH, WASM_PATH } from "../src/wasm.ts";

const terminal = new Console(process.stdout, process.stderr);

const TARGET = "wasm32-unknown-unknown";
const MEMORY = { initial: 16 * 1024 * 1024, maximum: 4 * 1024 * 1024 * 1024, stack: 4 * 1024 * 1024 };

interface Compiler {
  rustc: string;
  linker: string;
}

const linkerArguments = [
  "--shared-memory",
  "--import-memory",
  `--initial-memory=${MEMORY.initial}`,
  `--max-memory=${MEMORY.maximum}`,
  `-zstack-size=${MEMORY.stack}`,
  ...["__wasm_init_tls", "__tls_size", "__stack_pointer"].map((symbol) => `--export=${symbol}`),
];

build(findCompiler());

/** The first compiler that has the standard library's sources, and a linker for it. */
function findCompiler(): Compiler {
  for (const rustc of ["rustc", "/usr/bin/rustc"]) {
    const sysroot = output(rustc, ["--print", "sysroot"]);
    if (sysroot === null || !existsSync(`${sysroot}/lib/rustlib/src/rust/library/Cargo.lock`)) continue;
    const linker = bundledLinker(sysroot) ?? installedLinker();
    if (linker !== null) return { rustc, linker };
  }
  terminal.error("no compiler with the standard library's sources and a linker for WebAssembly; see the head of build/wasm.ts");
  process.exit(1);
}

function bundledLinker(sysroot: string): string | null {
  const hosts = readdirSync(`${sysroot}/lib/rustlib`).map((host) => `${sysroot}/lib/rustlib/${host}/bin/rust-lld`);
  return hosts.find((path) => existsSync(path)) ?? null;
}

function installedLinker(): string | null {
  const names = ["wasm-ld", ...[22, 21, 20, 19].map((version) => `wasm-ld-${version}`)];
  return names.find((name) => output(name, ["--version"]) !== null) ?? null;
}

function output(command: string, args: string[]): string | null {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null; // Not installed: the next candidate is tried.
  }
}

/** Paths of the building machine have no place in the module. Of several that fit, rustc takes the last. */
function remaps(rustc: string): [path: string, name: string][] {
  const cargo = process.env["CARGO_HOME"] ?? `${process.env["HOME"]}/.cargo`;
  const registry = `${cargo}/registry/src`;
  const indexes = existsSync(registry) ? readdirSync(registry) : [];
  return [
    [cargo, "cargo"],
    ...indexes.map((index): [string, string] => [`${registry}/${index}`, "crates"]),
    [output(rustc, ["--print", "sysroot"]) ?? "", "rust"],
    [CRATE, "engine/"],
  ];
}

function build({ rustc, linker }: Compiler): void {
  const target = process.env["CARGO_TARGET_DIR"] ?? fileURLToPath(new URL("../rust/target/wasm", import.meta.url));
  const flags = [
    `-Clinker=${linker}`,
    "-Clinker-flavor=wasm-ld",
    "-Ctarget-feature=+simd128,+bulk-memory,+atomics,+mutable-globals",
    ...remaps(rustc).map(([path, name]) => `--remap-path-prefix=${path}=${name}`),
    ...linkerArguments.map((argument) => `-Clink-arg=${argument}`),
  ];
  execFileSync("cargo", ["build", "--release", "--locked", "--target", TARGET, "-Zbuild-std=std,panic_abort"], {
    cwd: CRATE,
    stdio: "inherit",
    env: {
      ...process.env,
      RUSTC: rustc,
      RUSTC_BOOTSTRAP: "1",
      CARGO_TARGET_DIR: target,
      CARGO_PROFILE_RELEASE_PANIC: "abort",
      CARGO_ENCODED_RUSTFLAGS: flags.join("\u001f"),
    },
  });
  publish(readFileSync(`${target}/${TARGET}/release/meridian_engine.wasm`));
}

function publish(wasm: Uint8Array): void {
  const facts: WasmFacts = { sources: sourcesHash() ?? "", wasm: sha256(wasm), bytes: wasm.length };
  mkdirSync(fileURLToPath(new URL("../wasm/", import.meta.url)), { recursive: true });
  writeFileSync(WASM_PATH, wasm);
  writeFileSync(WASM_FACTS_PATH, `${JSON.stringify(facts, null, 2)}\n`);
  terminal.log(`built ${WASM_PATH}: ${wasm.length} bytes`);
}
