export { systemClock, wait } from "./clock.ts";
export { listenForProbes, serveHealth } from "./health.ts";
export type { Health, Readiness } from "./health.ts";
export { fail, runMain, stopSignal } from "./run-main.ts";
