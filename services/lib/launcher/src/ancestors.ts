/**
 * Notices that whoever started this process is gone. Through npm there are several between: npm, a shell, the bootstrap script;
 * npm that is ended passes no signal on, and the shell stays.
 */
import { readFileSync } from "node:fs";

const POLL_MS = 500;
const DEPTH_MAX = 6;

/** Calls `onGone` once when a process of the chain up to npm has ended. Without /proc only the direct parent is watched. */
export function watchAncestors(onGone: () => void): void {
  const chain = chainToNpm();
  const timer = setInterval(() => {
    const isWhole = chain.every((pid, index) => (index === 0 ? process.ppid : parentOf(chain[index - 1] ?? 0)) === pid);
    if (isWhole) return;
    clearInterval(timer);
    onGone();
  }, POLL_MS).unref();
}

/** Parent, its parent and so on, up to the first that is npm. */
function chainToNpm(): number[] {
  const chain = [process.ppid];
  while (chain.length < DEPTH_MAX) {
    const last = chain.at(-1) ?? 0;
    if (commandOf(last).includes("npm")) return chain;
    const parent = parentOf(last);
    if (parent === undefined || parent <= 1) break;
    chain.push(parent);
  }
  return chain.slice(0, 1);
}

function parentOf(pid: number): number | undefined {
  const text = read(`/proc/${pid}/stat`);
  const parent = text.slice(text.lastIndexOf(")") + 2).split(" ")[1];
  return parent === undefined ? undefined : Number(parent);
}

const commandOf = (pid: number): string => read(`/proc/${pid}/cmdline`);

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // Gone, or not Linux.
  }
}
