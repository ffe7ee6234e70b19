/**
 * Ends the services if the launcher dies without time to do so (kill -9): a shell that reads their numbers from a pipe, and acts
 * on the last ones when the pipe ends. Nothing stands in a file, so it works also if the data folder is gone by then.
 */
import { spawn } from "node:child_process";

export interface Watchdog {
  /** Says which processes run now. */
  watch(pids: readonly number[]): void;
  /** The launcher ends in order: nothing is left to do. */
  dismiss(): void;
}

const SCRIPT =
  'trap "" INT TERM HUP; pids=; while read -r line; do pids=$line; done; [ -n "$pids" ] && kill -TERM $pids 2> /dev/null';

export function startWatchdog(): Watchdog {
  const child = spawn("sh", ["-c", SCRIPT], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  child.unref();
  (child.stdin as unknown as { unref?: () => void }).unref?.(); // The pipe alone shall not keep the launcher alive.
  child.on("error", (error) => process.emitWarning(`no watchdog: ${error.message}`));
  child.stdin.on("error", () => undefined); // The watchdog is gone; nothing here depends on it.
  let isDismissed = false;
  return {
    watch: (pids) => {
      if (!isDismissed) child.stdin.write(`${pids.filter((pid) => pid > 0).join(" ")}\n`);
    },
    dismiss: () => {
      if (isDismissed) return;
      isDismissed = true;
      child.stdin.end("\n");
    },
  };
}
