import { defineConfig } from "vitest/config";

/** Each file starts a whole cluster: one after the other, or they measure each other. */
export default defineConfig({
  test: { include: ["src/**/*.test.ts", "test/**/*.test.ts"], fileParallelism: false, testTimeout: 60_000, hookTimeout: 90_000 },
});
