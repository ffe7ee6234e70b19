/** `npm test`: runs the tests of all packages (further arguments go to nx, e.g. --projects=@meridian/core) and adds them up. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { REPORTS, summary } from "./summary.ts";

rmSync(REPORTS, { recursive: true, force: true });
const { status } = spawnSync("nx", ["run-many", "-t", "test", ...process.argv.slice(2)], { stdio: "inherit" });
const { lines, failed } = summary([{ name: "test", code: status ?? 1 }]);
console.log(lines.join("\n"));
process.exitCode = failed === 0 ? 0 : 1;
