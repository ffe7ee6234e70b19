/** The commands of the root package.json, how they are bootstrapped, and how a run is added up. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readText, ROOT } from "../src/workspace.ts";

const { scripts } = JSON.parse(readText("package.json")) as { scripts: Record<string, string> };

describe("commands", () => {
  test.each(Object.entries(scripts))("npm run %s: %s starts something that is there", (_name, command) => {
    const [first = "", node = "", bootstrap = "", program = ""] = command.split(" ");
    if (first === ".ci/run") return expect(existsSync(join(ROOT, first))).toBe(true);
    // `exec`: a signal to npm reaches the program, and not a shell that would leave it behind.
    expect([first, node, bootstrap]).toEqual(["exec", "node", ".ci/bootstrap.mjs"]);
    expect(existsSync(join(ROOT, program.endsWith(".ts") ? program : `node_modules/.bin/${program}`))).toBe(true);
  });

  test("README names every command that is no part of another", () => {
    const readme = readText("README.md");
    const wanted = Object.keys(scripts).filter((name) => !["check", "format:check"].includes(name));
    expect(
      wanted.filter(
        (name) => !readme.includes(`npm ${name}`) && !readme.includes(`npm run ${name}`) && !readme.includes(`\`${name}\``),
      ),
    ).toEqual([]);
  });
});

describe("bootstrap", () => {
  const bootstrap = (...args: string[]) => {
    const { status, stdout } = spawnSync(process.execPath, [".ci/bootstrap.mjs", ...args], { cwd: ROOT, encoding: "utf8" });
    return { status, stdout: stdout.trim() };
  };

  test("runs commands with the workspace's Node", () => {
    expect(bootstrap("node", "-p", "process.versions.node.split('.')[0]")).toEqual({ status: 0, stdout: "24" });
  });

  test("hands over arguments and the exit code", () => {
    expect(bootstrap("node", "-e", "console.log(process.argv[1]); process.exit(7)", "a b")).toEqual({ status: 7, stdout: "a b" });
  });

  test("says how it is used", () => {
    expect(bootstrap()).toEqual({ status: 2, stdout: "" });
  });
});

describe("summary", () => {
  const folder = mkdtempSync(join(tmpdir(), "meridian-summary-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  const file = (status: string, tests: string[]) => ({
    name: "x.test.ts",
    status,
    message: "",
    assertionResults: tests.map((outcome, number) => ({ status: outcome, fullName: `test ${number}` })),
  });
  const report = (files: ReturnType<typeof file>[], success: boolean) => {
    const passed = files.flatMap(({ assertionResults }) => assertionResults).filter(({ status }) => status === "passed").length;
    return { numPassedTests: passed, numFailedTests: 0, success, testResults: files };
  };
  const good = report([file("passed", ["passed", "passed"])], true);
  const summarise = (reports: object[], steps: string[]) => {
    for (const old of ["0.json", "1.json"]) rmSync(join(folder, old), { force: true });
    reports.forEach((content, number) => writeFileSync(join(folder, `${number}.json`), JSON.stringify(content)));
    const program = [join(ROOT, ".ci/summary.ts"), `--reports=${folder}`, ...steps];
    const { status, stdout } = spawnSync(process.execPath, program, { encoding: "utf8" });
    return { status, lines: stdout.trimEnd().split("\n") };
  };

  test.each<[what: string, reports: object[], steps: string[], last: string, code: number]>([
    ["all is well", [good], ["lint=0", "test=0"], "3 passed, 0 failed", 0],
    ["a step failed", [good], ["lint=1", "types=0", "test=0"], "3 passed, 1 failed", 1],
    ["a test failed", [good, report([file("failed", ["passed", "failed"])], false)], ["test=1"], "3 passed, 1 failed", 1],
    ["a file did not load", [report([file("failed", [])], false)], ["test=1"], "0 passed, 1 failed", 1],
    ["an error outside of tests", [report([file("passed", ["passed"])], false)], ["test=1"], "1 passed, 1 failed", 1],
    ["the run died without a report", [good], ["test=1"], "2 passed, 1 failed", 1],
    ["no report at all", [], ["test=1"], "0 passed, 1 failed", 1],
  ])("%s", (_what, reports, steps, last, code) => {
    const { status, lines } = summarise(reports, steps);
    expect([lines.at(-1), status]).toEqual([last, code]);
  });

  test("failures give their reasons, without colours and not more than 15 lines", () => {
    const long = Array.from({ length: 20 }, (_, number) => `line ${number}`).join("\n");
    const failed = file("failed", ["passed", "failed"]);
    Object.assign(failed.assertionResults[1] ?? {}, { failureMessages: [`\u001b[31mError: no\u001b[39m\n\n${long}`] });
    const { lines } = summarise([report([failed, { ...file("failed", []), message: "does not load" }], false)], ["test=1"]);
    const at = lines.indexOf("  FAILED 0: test 1");
    expect(lines.slice(at + 1, at + 3)).toEqual(["    Error: no", "    line 0"]);
    expect(lines.slice(at + 15)).toEqual([
      "    line 13",
      "    … 6 more lines",
      "  FAILED 0: x.test.ts",
      "    does not load",
      "1 passed, 2 failed",
    ]);
  });

  test("a process that died is told by the last test that passed", () => {
    const { lines } = summarise([report([file("failed", ["passed", "passed"])], false)], ["test=1"]);
    expect(lines.at(-2)).toMatch(/the process of the file may have died .* passed: test 1$/);
  });
});
