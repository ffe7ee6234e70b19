import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { appendRows, damageRows, fenceRows, lostRows } from "./log-rows.ts";
import { objectRows, settingsRows, wireRows } from "./other-rows.ts";
import { outRows } from "./out-rows.ts";
import type { Rig, Row } from "./rig.ts";

const SUITE: [what: string, rows: Row[]][] = [
  ["append and read", appendRows],
  ["fencing", fenceRows],
  ["lost answers, full and crash", lostRows],
  ["damage and truncation", damageRows],
  ["out", outRows],
  ["settings", settingsRows],
  ["objects", objectRows],
  ["wire", wireRows],
];

/** The suite that every implementation of the bus passes. */
export function runSuite(what: string, open: () => Promise<Rig>): void {
  describe(what, () => {
    let rig: Rig;
    beforeAll(async () => {
      rig = await open();
    });
    afterEach(() => rig.reset());
    afterAll(() => rig.close());
    for (const [group, rows] of SUITE) {
      describe(group, () => {
        test.each<Row>(rows)("%s", (_what, run) => run(rig));
      });
    }
  });
}
