import { defineConfig } from "vitest/config";

/** Tests with real parts (servers, processes) may share two cores with others: bounds for that, not for a quick machine. */
export default defineConfig({
  test: {
    include: ["**/{src,test}/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
