/** What processes use, sampled from /proc; energy from RAPL where the machine shows it. */
import { readFile, readdir } from "node:fs/promises";
import { cpuSeconds, memoryMib } from "../bench/cpu.ts";

export interface ProcessSample {
  cpuSeconds: number;
  memoryMib: number;
  /** Bytes handed to the disk since the process started. */
  writtenBytes: number;
}

export interface Sample {
  at: number; // ms since 1970
  processes: ReadonlyMap<string, ProcessSample>;
  /** Busy seconds of all cores, whoever used them. */
  machineSeconds: number;
  /** RAPL counters of the packages in joules; undefined where they cannot be read. */
  joules: number | undefined;
}

export interface Sampler {
  readonly samples: readonly Sample[];
  /** Takes one more and ends. */
  stop(): Promise<void>;
}

const INTERVAL_MS = 500;
const TICKS_PER_SECOND = 100;
const RAPL = "/sys/class/powercap";

/** @param pids of what is measured now, by name: a process that was started again counts on */
export async function startSampler(pids: () => ReadonlyMap<string, number>): Promise<Sampler> {
  const samples = [await take(pids())];
  let taking: Promise<void> = Promise.resolve();
  const next = () => {
    taking = taking.then(async () => void samples.push(await take(pids())));
  };
  const timer = setInterval(next, INTERVAL_MS);
  return {
    samples,
    async stop() {
      clearInterval(timer);
      next();
      await taking;
    },
  };
}

async function take(pids: ReadonlyMap<string, number>): Promise<Sample> {
  const processes = await Promise.all([...pids].map(async ([name, pid]) => [name, await sampleOf(pid)] as const));
  return { at: Date.now(), processes: new Map(processes), machineSeconds: await machineSeconds(), joules: await joules() };
}

async function sampleOf(pid: number): Promise<ProcessSample> {
  const io = await readFile(`/proc/${pid}/io`, "utf8").catch(() => ""); // Gone, or no Linux.
  const writtenBytes = Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0);
  return { cpuSeconds: await cpuSeconds(pid), memoryMib: await memoryMib(pid), writtenBytes };
}

async function machineSeconds(): Promise<number> {
  const text = await readFile("/proc/stat", "utf8").catch(() => "");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = (/^cpu +(.*)$/m.exec(text)?.[1] ?? "")
    .split(" ")
    .map(Number);
  return (user + nice + system + irq + softIrq) / TICKS_PER_SECOND;
}

async function joules(): Promise<number | undefined> {
  const zones = (await readdir(RAPL).catch(() => [])).filter((name) => /^intel-rapl:\d+$/.test(name));
  const texts = await Promise.all(
    zones.map((zone) => readFile(`${RAPL}/${zone}/energy_uj`, "utf8").catch(() => undefined)), // For root alone on most machines.
  );
  const counters = texts.flatMap((text) => (text === undefined ? [] : [Number(text) / 1e6]));
  return counters.length === 0 ? undefined : counters.reduce((sum, counter) => sum + counter, 0);
}
