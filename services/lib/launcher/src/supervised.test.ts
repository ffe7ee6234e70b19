import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ClusterEvent } from "./options.ts";
import { type SupervisedProcess, supervise } from "./supervised.ts";

let folder: string;
let events: ClusterEvent[];
let started: SupervisedProcess[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "meridian-supervised-"));
  events = [];
  started = [];
});
afterEach(async () => {
  await Promise.all(started.map((process) => process.stop()));
  await rm(folder, { recursive: true, force: true });
});

function run(script: string, crashesPerMinuteMax = 3): SupervisedProcess {
  const process_ = supervise({
    name: "subject",
    command: "sh",
    args: ["-c", script],
    env: process.env,
    logFile: join(folder, "subject.log"),
    crashesPerMinuteMax,
    onEvent: (event) => events.push(event),
    onPid: () => undefined,
  });
  started.push(process_);
  process_.start();
  return process_;
}

const kinds = () => events.map(({ kind }) => kind);
const until = (check: () => void) => vi.waitFor(check, { timeout: 8_000, interval: 20 });

test("a process that ends is started again, and given up after too many ends, with its last words", async () => {
  const subject = run("echo hello from $$; exit 3", 2);
  await until(() => expect(kinds().at(-1)).toBe("gaveUp"));
  expect(kinds().filter((kind) => kind === "started")).toHaveLength(3);
  expect(events.at(-1)).toMatchObject({ how: "exit code 3", crashes: 3, tail: expect.stringContaining("hello from") as unknown });
  expect(subject.isKept).toBe(false);
});

test("a killed process is started again with another number, and the kill does not count", async () => {
  const subject = run("sleep 60", 1);
  for (let kills = 0; kills < 3; kills++) {
    const { pid } = subject;
    await subject.kill("SIGKILL");
    await until(() => expect(subject.pid).toBeGreaterThan(0));
    expect(subject.pid).not.toBe(pid);
  }
  expect(kinds()).not.toContain("gaveUp");
});

test("a stopped process ends at once, and one kept down stays down", async () => {
  const subject = run("sleep 60");
  await subject.kill("SIGKILL", { keepDown: true });
  expect(subject.pid).toBe(0);
  subject.start();
  await until(() => expect(subject.pid).toBeGreaterThan(0));
  await subject.kill("SIGSTOP");
  await subject.stop();
  expect(subject.pid).toBe(0);
  expect(await readFile(join(folder, "subject.log"), "utf8")).toBe("");
});
