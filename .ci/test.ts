/** `npm test`: runs the tests of all packages (further arguments go to nx, e.g. --projects=@meridian/core) and adds them up. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { REPORTS, summary } from "./summary.ts";

rmSync(REPORTS, { recursive: true, force: true });
// Stripped types are kept: threads that come and go while each strips its own have ended the process now and then.
const env = { NODE_COMPILE_CACHE: join(process.cwd(), "node_modules", ".cache", "compile"), ...process.env };
const { status } = spawnSync("nx", ["run-many", "-t", "test", ...process.argv.slice(2)], { stdio: "inherit", env });
const { lines, failed } = summary([{ name: "test", code: status ?? 1 }]);
console.log(lines.join("\n"));
process.exitCode = failed === 0 ? 0 : 1;
