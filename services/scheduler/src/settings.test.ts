import { IoError, readSettings } from "@meridian/core";
import { expect, test } from "vitest";
import { schedulerSettings } from "./settings.ts";

test.each<[what: string, got: string, want: number | undefined]>([
  ["default", "", 2_000],
  ["no wait", "0", 0],
  ["the most", "10000", 10_000],
  ["above is refused", "10001", undefined],
  ["below is refused", "-1", undefined],
])("MERIDIAN_GAP_MS: %s", (_what, got, want) => {
  const read = () => readSettings(schedulerSettings, { MERIDIAN_NATS_URL: "nats://127.0.0.1:4222", MERIDIAN_GAP_MS: got });
  if (want === undefined) expect(read).toThrow(IoError);
  else expect(read().gapMs).toBe(want);
});
