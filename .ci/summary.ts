/**
 * Adds up the reports that vitest left in .ci/reports, one for each package, and the steps of a run. Its last line is
 * "N passed, N failed". As a command: `summary.ts [--reports=folder] format=0 lint=1 test=0`, each step with its exit code.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs, stripVTControlCharacters } from "node:util";

export const REPORTS = join(import.meta.dirname, "reports");
/** Shown of what a failure says. */
const REASON_LINES_MAX = 15;

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  success: boolean;
  testResults: FileResult[];
}
interface FileResult {
  name: string;
  status: string;
  message: string;
  assertionResults: { status: string; fullName: string; failureMessages?: string[] }[];
}
interface Failure {
  name: string;
  reason: string;
}
interface Step {
  name: string;
  code: number;
}

/**
 * Every test is one, and every step but `test` is one. A test run that went wrong without a failed test (a file that does not
 * load, a process that dies) is one failure.
 */
export function summary(steps: Step[], folder: string = REPORTS): { lines: string[]; passed: number; failed: number } {
  const reports = readReports(folder);
  const others = steps.filter(({ name }) => name !== "test");
  const failures = reports.flatMap(({ name, report }) =>
    failuresOf(report).map((failure) => ({ ...failure, name: `${name}: ${failure.name}` })),
  );
  const isTestBroken = steps.some(({ name, code }) => name === "test" && code !== 0);
  if (isTestBroken && failures.length === 0) {
    failures.push({ name: "test: the run ended with an error but no report names a failed test", reason: "" });
  }
  failures.push(...others.filter(({ code }) => code !== 0).map(({ name }) => ({ name: `${name}: failed`, reason: "" })));
  const passed =
    reports.reduce((sum, { report }) => sum + report.numPassedTests, 0) + others.filter(({ code }) => code === 0).length;
  return {
    lines: [
      "",
      ...reports.map(
        ({ name, report }) => `  ${name.padEnd(20)} ${report.numPassedTests} passed, ${failuresOf(report).length} failed`,
      ),
      ...others.map(({ name, code }) => `  ${name.padEnd(20)} ${code === 0 ? "passed" : "failed"}`),
      ...failures.flatMap(({ name, reason }) => [`  FAILED ${name}`, ...linesOf(reason)]),
      `${passed} passed, ${failures.length} failed`,
    ],
    passed,
    failed: failures.length,
  };
}

function readReports(folder: string): { name: string; report: Report }[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => ({
      name: file.slice(0, -".json".length),
      report: JSON.parse(readFileSync(join(folder, file), "utf8")) as Report,
    }));
}

/** Failed tests, and files that failed without one. */
function failuresOf(report: Report): Failure[] {
  const failures = report.testResults.flatMap((file): Failure[] => {
    const failed = file.assertionResults.filter((test) => test.status === "failed");
    if (file.status === "failed" && failed.length === 0) return [{ name: file.name, reason: reasonOf(file) }];
    return failed.map(({ fullName, failureMessages = [] }) => ({ name: fullName, reason: failureMessages.join("\n") }));
  });
  return failures.length === 0 && !report.success ? [{ name: "errors outside of tests", reason: "" }] : failures;
}

/** A process that died leaves no message: what it had done says where it was. */
function reasonOf({ message, assertionResults }: FileResult): string {
  if (message !== "") return message;
  const last = assertionResults.findLast(({ status }) => status === "passed")?.fullName;
  const ended = last === undefined ? "no test of the file ended" : `the last test that passed: ${last}`;
  return `no message: the process of the file may have died (the output of the run says how); ${ended}`;
}

function linesOf(reason: string): string[] {
  const lines = stripVTControlCharacters(reason)
    .split("\n")
    .filter((line) => line.trim() !== "");
  const more = lines.length > REASON_LINES_MAX ? [`… ${lines.length - REASON_LINES_MAX} more lines`] : [];
  return [...lines.slice(0, REASON_LINES_MAX), ...more].map((line) => `    ${line}`);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { reports: { type: "string", default: REPORTS } },
    allowPositionals: true,
  });
  const steps = positionals.map((argument) => {
    const [name = "", code = "1"] = argument.split("=");
    return { name, code: Number(code) };
  });
  const { lines, failed } = summary(steps, values.reports);
  console.log(lines.join("\n"));
  process.exitCode = failed === 0 ? 0 : 1;
}
