/** The report: as JSON, as a page, and as text. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { table } from "@meridian/launcher";
import { htmlOf } from "./html.ts";
import type { Verdict } from "./judge.ts";
import type { LoadNumbers } from "./report.ts";

export interface Report {
  command: string;
  /** What was run, on what, from which commit. */
  setting: Readonly<Record<string, string>>;
  wattsPerCore: number;
  numbers: LoadNumbers;
  verdicts: readonly Verdict[];
}

/** @returns the files */
export async function writeReport(folder: string, name: string, report: Report): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const files = [join(folder, `${name}.json`), join(folder, `${name}.html`)];
  await writeFile(files[0] ?? "", `${JSON.stringify(report, null, 2)}\n`);
  await writeFile(files[1] ?? "", htmlOf(report));
  return files;
}

export function textOf({ numbers, verdicts, wattsPerCore }: Report): string {
  const { latencyMs, processes } = numbers;
  const spread = ({ p50, p95, p99, max }: (typeof latencyMs)["answer"]) => `p50 ${p50}, p95 ${p95}, p99 ${p99}, max ${max} ms`;
  const rows = processes.map((process) => [
    process.name,
    ...[process.cpuSeconds.toFixed(2), process.microsecondsPerCall.toFixed(2), process.cores.toFixed(2)],
    ...[process.memoryMibMax, (process.writtenBytes / 1_048_576).toFixed(1)],
  ]);
  const energy = numbers.isEnergyEstimated ? `estimate: ${wattsPerCore} W a busy core` : "RAPL";
  return [
    table([["process", "CPU s", "us a call", "cores", "MiB", "MiB written"], ...rows]),
    `CPU ${numbers.microsecondsPerCall.toFixed(2)} us a call; the machine used ${numbers.machineCores.toFixed(2)} cores in all`,
    `written ${numbers.writtenBytesPerCall.toFixed(0)} bytes a call`,
    `energy ${numbers.joulesPerCall.toPrecision(3)} J a call (${energy})`,
    `answer  ${spread(latencyMs.answer)}`,
    `receipt ${spread(latencyMs.receipt)}`,
    `accepted ${Math.round(numbers.acceptedTps)} a second, ${numbers.refused} refused`,
    `${numbers.signaturesPerSecond.toFixed(1)} signatures a second`,
    `${numbers.confirmed} receipts, ${Math.round(numbers.overallTps)} a second from the first request to the last of them`,
    ...verdicts.map(({ name, isGood, text }) => `${isGood ? "good" : "BAD "}  ${name}: ${text}`),
  ].join("\n");
}
