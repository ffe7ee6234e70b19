import { defineConfig } from "vitest/config";

/** Whole clusters, one after the other. */
export default defineConfig({
  test: { include: ["test/**/*.test.ts"], fileParallelism: false, testTimeout: 240_000, hookTimeout: 90_000 },
});
