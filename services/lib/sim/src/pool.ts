/** Runs seeds, here or in processes beside this one: a run uses one core. */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { BugError } from "@meridian/core";
import { engineOf, forgetEngines } from "./engines.ts";
import type { SimEngine } from "./engines.ts";
import { mutantOf } from "./planted.ts";
import { runSeed } from "./system/run.ts";
import type { RunResult } from "./system/run.ts";

/** Seeds [first, first + count) with a planted bug, or none. */
export interface Task {
  first: number;
  count: number;
  mutant: string | null;
  engine: SimEngine;
}

/** What comes back of one seed, without lines. */
export type Finished = Pick<RunResult, "seed" | "failure" | "tally" | "hash">;

/** What a process says at the end of a task. */
export interface TaskDone {
  processorMs: number;
}

/** Of this process since its start, ms. On a machine with other work the clock on the wall says little. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

export async function runTask({ first, count, mutant, engine }: Task, tell: (result: Finished) => void): Promise<void> {
  const planted = mutant === null ? undefined : mutantOf(mutant);
  for (let seed = first; seed < first + count; seed++) {
    const { failure, tally, hash } = await runSeed({
      seed,
      ...engineOf(engine),
      ...(planted === undefined ? {} : { mutant: planted }),
    });
    if (failure !== null) forgetEngines();
    tell({ seed, failure, tally, hash });
  }
}

/** A process that runs one task after another. */
class Hand {
  readonly #child: ChildProcess;
  #tell: (result: Finished) => void = () => undefined;
  #end: (error: Error | null) => void = () => undefined;
  /** What its tasks have cost. */
  processorMs = 0;

  constructor() {
    this.#child = fork(fileURLToPath(new URL("./hand.ts", import.meta.url)));
    this.#child.on("message", (message: Finished | TaskDone) => {
      if ("seed" in message) return this.#tell(message);
      this.processorMs += message.processorMs;
      this.#end(null);
    });
    this.#child.on("exit", (code) => this.#end(new BugError(`bug: a process of the simulator ended with ${code}`)));
  }

  run(task: Task, tell: (result: Finished) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#tell = tell;
      this.#end = (error) => (error === null ? resolve() : reject(error));
      this.#child.send(task);
    });
  }

  end(): void {
    this.#child.disconnect();
  }
}

/**
 * Runs tasks with `jobs` processes; with one, in this one. `isWanted` is asked before each task.
 * @returns processor time that all tasks have taken together, ms
 */
export async function runTasks(
  tasks: readonly Task[],
  jobs: number,
  tell: (result: Finished, task: Task) => void,
  isWanted: (task: Task) => boolean = () => true,
): Promise<number> {
  let next = 0;
  const startedAt = processorTime();
  const take = (): Task | undefined => {
    while (next < tasks.length && !isWanted(tasks[next]!)) next++;
    return tasks[next++];
  };
  const work = async (run: (task: Task, tell: (result: Finished) => void) => Promise<void>): Promise<void> => {
    for (let task = take(); task !== undefined; task = take()) {
      const current = task;
      await run(current, (result) => tell(result, current));
    }
  };
  if (jobs <= 1) {
    await work(runTask);
    return processorTime() - startedAt;
  }
  const hands = Array.from({ length: Math.min(jobs, tasks.length) }, () => new Hand());
  try {
    await Promise.all(hands.map((hand) => work((task, each) => hand.run(task, each))));
    return hands.reduce((sum, { processorMs }) => sum + processorMs, 0);
  } finally {
    for (const hand of hands) hand.end();
  }
}

/** Cuts a range of seeds into tasks. */
export function tasksOf(first: number, count: number, size: number, mutant: string | null, engine: SimEngine): Task[] {
  const tasks: Task[] = [];
  for (let start = first; start < first + count; start += size) {
    tasks.push({ first: start, count: Math.min(size, first + count - start), mutant, engine });
  }
  return tasks;
}
