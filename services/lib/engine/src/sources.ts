/** Which sources a build belongs to: one hash over the crate, so that a stale build is found before it runs. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const CRATE = fileURLToPath(new URL("../rust/", import.meta.url));

/** SHA-256 over Cargo.toml, Cargo.lock, build.rs and src/**, each as path, NUL, content, NUL; null if the crate is not here. */
export function sourcesHash(): string | null {
  if (!existsSync(`${CRATE}Cargo.toml`)) return null;
  const sources = readdirSync(`${CRATE}src`, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".rs"));
  const paths = ["Cargo.lock", "Cargo.toml", "build.rs", ...sources.map((path) => `src/${path.replaceAll("\\", "/")}`)].sort();
  const hash = createHash("sha256");
  for (const path of paths) {
    // Line ends may differ by checkout; what is compiled does not.
    hash.update(`${path}\0${readFileSync(`${CRATE}${path}`, "utf8").replaceAll("\r\n", "\n")}\0`);
  }
  return hash.digest("hex");
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
