import { execFile } from "node:child_process";
import { IoError } from "@meridian/core";

/** Longest output of a command that is kept. */
const OUTPUT_BYTES_MAX = 1024 * 1024;

/**
 * Runs a command to its end and returns what it printed.
 * @throws IoError COMMAND_FAILED with the last line it printed; also after `timeoutMs`
 */
export function runCommand(
  command: string,
  args: readonly string[],
  options: { timeoutMs: number; signal?: AbortSignal },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: options.timeoutMs, maxBuffer: OUTPUT_BYTES_MAX, killSignal: "SIGKILL" as const };
    const child = execFile(
      command,
      args,
      options.signal ? { ...limits, signal: options.signal } : limits,
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const why = error.killed === true ? `no end after ${options.timeoutMs} ms` : (lastLine(stderr) ?? error.message);
        reject(new IoError({ code: "COMMAND_FAILED", command, why }, "later", error));
      },
    );
    child.stdin?.end();
  });
}

function lastLine(text: string): string | undefined {
  return text.trim().split("\n").at(-1)?.trim() || undefined;
}
