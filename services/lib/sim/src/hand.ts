/** A process beside the simulator's own: takes tasks and says what came of each seed. */
import { runTask } from "./pool.ts";
import type { Task } from "./pool.ts";

process.on("message", (task: Task) => {
  void runTask(task, (result) => process.send?.(result)).then(() => process.send?.("done"));
});
process.on("disconnect", () => process.exit(0));
