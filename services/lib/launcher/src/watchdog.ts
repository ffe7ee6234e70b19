/** Ends the services if the launcher dies without time to do so (kill -9): a shell that waits for the end of a pipe. */
import { spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";

export interface Watchdog {
  /** Says which processes run now. */
  watch(pids: readonly number[]): void;
  /** The launcher ends in order: nothing is left to do. */
  dismiss(): void;
}

const SCRIPT = 'trap "" INT TERM HUP; cat > /dev/null; [ -s "$1" ] && kill -TERM $(cat "$1") 2> /dev/null; rm -f "$1"';

/** @param pidsFile where the numbers stand, one a line; no other watchdog may use it */
export function startWatchdog(pidsFile: string): Watchdog {
  writeFileSync(pidsFile, "");
  const child = spawn("sh", ["-c", SCRIPT, "sh", pidsFile], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  child.unref();
  (child.stdin as unknown as { unref?: () => void }).unref?.(); // The pipe alone shall not keep the launcher alive.
  child.on("error", (error) => process.emitWarning(`no watchdog: ${error.message}`));
  child.stdin.on("error", () => undefined); // The watchdog is gone; nothing here depends on it.
  let isDismissed = false;
  return {
    watch: (pids) => {
      if (!isDismissed) writeFileSync(pidsFile, pids.filter((pid) => pid > 0).join("\n"));
    },
    dismiss: () => {
      isDismissed = true;
      rmSync(pidsFile, { force: true });
      child.stdin.end();
    },
  };
}
