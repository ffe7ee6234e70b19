/**
 * One service as a process that is started again when it ends.
 *
 * P1. A process has its own group: Ctrl-C in a terminal reaches the launcher alone, which ends the services in order.
 * P2. Restarts wait longer each time (100 ms to 5 s), and stop after `crashesPerMinuteMax` unwanted ends within a minute.
 * P3. Signals sent through `kill` are wanted: the process is started again, and it does not count.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { ClusterEvent } from "./options.ts";

const RESTART_MS_MIN = 100;
const RESTART_MS_MAX = 5_000;
const STOP_MS_MAX = 8_000;
const TAIL_LINES = 20;
const MINUTE_MS = 60_000;

export interface ProcessOptions {
  name: string;
  command: string;
  args: string[];
  env: Record<string, string | undefined>;
  logFile: string;
  crashesPerMinuteMax: number;
  onEvent: (event: ClusterEvent) => void;
  /** Called whenever the number changes. */
  onPid: () => void;
}

export interface SupervisedProcess {
  readonly name: string;
  readonly pid: number; // 0 while it does not run
  readonly logFile: string;
  /** False after it was given up. */
  readonly isKept: boolean;
  /** Sends a signal; SIGKILL and SIGTERM wait until the process is gone. It is started again unless `keepDown` is set. */
  kill(signal: NodeJS.Signals, options?: { keepDown: boolean }): Promise<void>;
  /** Starts it if it does not run. */
  start(): void;
  /** Ends it for good: SIGTERM, after 8 s SIGKILL. */
  stop(): Promise<void>;
}

export function supervise(options: ProcessOptions): SupervisedProcess {
  return new Supervised(options);
}

class Supervised implements SupervisedProcess {
  readonly #options: ProcessOptions;
  readonly #crashes: number[] = []; // times of unwanted ends within the last minute
  #child: ChildProcess | undefined;
  #gone: Promise<void> = Promise.resolve();
  #restartMs = RESTART_MS_MIN;
  #timer: NodeJS.Timeout | undefined;
  #isWanted = false;
  #isKillWanted = false;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get logFile(): string {
    return this.#options.logFile;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isKept(): boolean {
    return this.#isWanted;
  }

  start(): void {
    this.#isWanted = true;
    if (this.#child !== undefined || this.#timer !== undefined) return;
    this.#spawn();
  }

  async kill(signal: NodeJS.Signals, { keepDown } = { keepDown: false }): Promise<void> {
    if (keepDown) this.#isWanted = false;
    const child = this.#child;
    if (child === undefined) return;
    const ends = signal === "SIGKILL" || signal === "SIGTERM";
    if (ends) this.#isKillWanted = true;
    child.kill(signal);
    if (signal === "SIGTERM") child.kill("SIGCONT"); // A stopped process takes no SIGTERM before it goes on.
    if (ends) await this.#gone;
  }

  async stop(): Promise<void> {
    this.#isWanted = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const patience = new AbortController();
    const force = delay(STOP_MS_MAX, undefined, { signal: patience.signal }).then(
      () => this.#child?.kill("SIGKILL"),
      () => undefined, // Gone in time.
    );
    await this.kill("SIGTERM");
    patience.abort();
    await force;
  }

  #spawn(): void {
    const { name, command, args, env, logFile, onEvent, onPid } = this.#options;
    onEvent({ kind: "starting", name });
    const log = openSync(logFile, "a");
    const startedAt = Date.now();
    const child = spawn(command, args, { env, stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    this.#child = child;
    this.#isKillWanted = false;
    this.#gone = new Promise((resolve) => {
      const end = (how: string) => {
        if (this.#child !== child) return;
        this.#child = undefined;
        onPid();
        resolve();
        this.#ended(how, Date.now() - startedAt);
      };
      child.once("exit", (code, signal) => end(signal === null ? `exit code ${code}` : signal));
      child.once("error", (error) => end(error.message));
    });
    onPid();
    if (child.pid !== undefined) onEvent({ kind: "started", name, pid: child.pid, ms: Date.now() - startedAt });
  }

  #ended(how: string, livedMs: number): void {
    if (!this.#isWanted) return;
    if (livedMs > MINUTE_MS) this.#restartMs = RESTART_MS_MIN;
    if (!this.#isKillWanted && this.#isTooMuch()) {
      this.#isWanted = false;
      void this.#giveUp(how);
      return;
    }
    const restartMs = this.#isKillWanted ? RESTART_MS_MIN : this.#restartMs;
    if (!this.#isKillWanted) this.#restartMs = Math.min(this.#restartMs * 2, RESTART_MS_MAX);
    this.#options.onEvent({ kind: "ended", name: this.name, how, restartMs });
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#isWanted) this.#spawn();
    }, restartMs);
  }

  #isTooMuch(): boolean {
    const now = Date.now();
    this.#crashes.push(now);
    while (this.#crashes[0] !== undefined && this.#crashes[0] < now - MINUTE_MS) this.#crashes.shift();
    return this.#crashes.length > this.#options.crashesPerMinuteMax;
  }

  async #giveUp(how: string): Promise<void> {
    const { name, logFile, onEvent } = this.#options;
    onEvent({ kind: "gaveUp", name, how, crashes: this.#crashes.length, logFile, tail: await tailOf(logFile) });
  }
}

/** The last lines of a log file; a sentence if it cannot be read. */
export async function tailOf(logFile: string): Promise<string> {
  const text = await readFile(logFile, "utf8").catch((error: unknown) => `(${logFile} cannot be read: ${String(error)})`);
  return text.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
}
