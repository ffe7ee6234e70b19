/** Starts k6 with an open arrival rate (or, for peers, with a fixed number of clients) and reads what it says. */
import { type ChildProcess, spawn } from "node:child_process";
import { openSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { IoError } from "@meridian/core";

export interface K6Options {
  binary: string;
  folder: string; // for its files
  url: string;
  bodies: { file: string; slotBytes: number };
  isJson: boolean;
  requests: number;
  /** `rate`: requests spread evenly over so many seconds, whatever is answered; `clients`: each sends when it is answered. */
  arrival: { kind: "rate"; seconds: number; clientsMax: number } | { kind: "clients"; clients: number; secondsMax: number };
}

/** One request, as k6 saw it. */
export interface Sent {
  request: number;
  sentAt: number; // ms since 1970
  durationMs: number; // until the last byte of the answer
  status: number;
  accepted: number; // calls
  refused: number; // inputs or calls
  receipts: number;
  isEnded: boolean; // all promised receipts came
  why: string;
}

export interface K6Run {
  readonly pid: number;
  /** Resolves when k6 has ended. @throws IoError K6 with the end of its log */
  ended(): Promise<K6Outcome>;
  kill(): void;
}

export interface K6Outcome {
  sent: Sent[];
  /** Iterations that could not start at their time because all clients were busy. */
  dropped: number;
  vusMax: number;
}

const SCRIPT = fileURLToPath(new URL("k6/script.ts", import.meta.url));
const TIMEOUT_MS = 60_000;
const STOP_SECONDS = 60;
/** Requests that one expects to be under way at once: seconds of them. */
const UNDER_WAY_SECONDS = 4;
const CLIENTS_MIN = 100;
const TAIL_CHARACTERS = 2_000;

export async function startK6(options: K6Options): Promise<K6Run> {
  const { binary, folder, url, bodies, isJson } = options;
  const file = (name: string) => join(folder, name);
  const [orderFile, summaryFile, consoleFile, logFile] = ["order.json", "summary.json", "console.log", "k6.log"].map(file);
  if (orderFile === undefined || summaryFile === undefined || consoleFile === undefined || logFile === undefined)
    throw new IoError({ code: "K6", text: "no files" }, "never");
  const { requests } = options;
  const order = { url, ...bodies, isJson, requests, timeoutMs: TIMEOUT_MS, summaryFile, options: k6OptionsOf(options) };
  await writeFile(orderFile, JSON.stringify(order));
  const args = ["run", "--quiet", "--no-color", "--no-usage-report", "--log-format", "raw", "--console-output", consoleFile];
  const env = { ...process.env, MERIDIAN_LOAD_ORDER: orderFile, K6_NO_USAGE_REPORT: "true" };
  const log = openSync(logFile, "w");
  const child = spawn(binary, [...args, "--address", "", SCRIPT], { env, stdio: ["ignore", log, log], cwd: folder });
  const ending = exitOf(child).then(async (code) => {
    if (code !== 0) {
      const tail = (await readFile(logFile, "utf8")).slice(-TAIL_CHARACTERS);
      throw new IoError({ code: "K6", text: `k6 ended with code ${code}: ${tail}` }, "never");
    }
    return outcomeOf(await readFile(consoleFile, "utf8"), await readFile(summaryFile, "utf8"));
  });
  ending.catch(() => undefined); // Whoever asks with `ended` hears of it.
  return { pid: child.pid ?? 0, ended: () => ending, kill: () => void child.kill("SIGKILL") };
}

function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
}

export function k6OptionsOf({ requests, arrival }: Pick<K6Options, "requests" | "arrival">): object {
  const shared = { gracefulStop: `${STOP_SECONDS}s`, exec: "default" };
  const { kind } = arrival;
  if (kind === "clients") {
    const load = { executor: "shared-iterations", vus: arrival.clients, iterations: requests };
    return withDefaults({ ...shared, ...load, maxDuration: `${arrival.secondsMax}s` });
  }
  // Half a request longer, so that the last one begins for sure; one that begins behind it sends nothing.
  const durationMs = Math.ceil((arrival.seconds * 1000 * (requests + 0.5)) / requests);
  const clients = Math.ceil((requests / arrival.seconds) * UNDER_WAY_SECONDS);
  const preAllocatedVUs = Math.min(arrival.clientsMax, Math.max(CLIENTS_MIN, clients));
  return withDefaults({
    ...shared,
    executor: "constant-arrival-rate",
    // So many in the whole time: no rounding of a rate that is no whole number.
    ...{ rate: requests, timeUnit: `${arrival.seconds}s`, duration: `${durationMs}ms` },
    ...{ preAllocatedVUs, maxVUs: arrival.clientsMax },
  });
}

const withDefaults = (load: object): object => ({
  scenarios: { load },
  discardResponseBodies: false,
  noConnectionReuse: false,
  summaryTrendStats: ["min", "med", "p(95)", "p(99)", "max"],
});

interface Summary {
  metrics: Record<string, { values: Record<string, number> } | undefined>;
}

export function outcomeOf(console: string, summary: string): K6Outcome {
  const sent = console.split("\n").flatMap((line): Sent[] => {
    if (!line.startsWith("sent ")) return [];
    const told = JSON.parse(line.slice(5)) as [number, number, number, number, number, number, number, number, string];
    const [request, sentAt, durationMs, status, accepted, refused, receipts, isEnded, why] = told;
    return [{ request, sentAt, durationMs, status, accepted, refused, receipts, isEnded: isEnded === 1, why }];
  });
  const { metrics } = JSON.parse(summary) as Summary;
  const value = (metric: string, name: string): number => metrics[metric]?.values[name] ?? 0;
  return { sent, dropped: value("dropped_iterations", "count"), vusMax: value("vus_max", "max") };
}
