/** A process beside the simulator's own: takes tasks and says what came of each seed. */
import { processorTime, runTask } from "./pool.ts";
import type { Task, TaskDone } from "./pool.ts";

async function work(task: Task): Promise<void> {
  const startedAt = processorTime();
  await runTask(task, (result) => process.send?.(result));
  process.send?.({ processorMs: processorTime() - startedAt } satisfies TaskDone);
}

process.on("message", (task: Task) => void work(task));
process.on("disconnect", () => process.exit(0));
