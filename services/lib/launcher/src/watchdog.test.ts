import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startWatchdog } from "./watchdog.ts";

const WATCHDOG = fileURLToPath(new URL("watchdog.ts", import.meta.url));
const sleeper = () => spawn("sleep", ["60"], { stdio: "ignore" });

test("processes end with a launcher that is killed, whatever became of its folder", async () => {
  const service = sleeper();
  const ended = once(service, "exit");
  const program = `
    import { startWatchdog } from ${JSON.stringify(WATCHDOG)};
    startWatchdog().watch([0, ${service.pid ?? 0}]);
    process.stdout.write("watching");
    setTimeout(() => undefined, 60_000);`;
  const launcher = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
  await once(launcher.stdout, "data");
  launcher.kill("SIGKILL");
  expect(await ended).toEqual([null, "SIGTERM"]);
});

test("nothing is ended after a dismissal", async () => {
  const service = sleeper();
  const watchdog = startWatchdog();
  watchdog.watch([service.pid ?? 0]);
  watchdog.dismiss();
  watchdog.watch([service.pid ?? 0]);
  // The shell has read to the end of its pipe by the time another one has run.
  await once(spawn("sh", ["-c", "true"]), "exit");
  expect(service.exitCode).toBeNull();
  service.kill("SIGKILL");
  expect(await once(service, "exit")).toEqual([null, "SIGKILL"]);
});
