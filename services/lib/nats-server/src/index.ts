export { findNatsServer } from "./find.ts";
export type { FindOptions, NatsServer } from "./find.ts";
export { NATS_VERSION } from "./release.ts";
export { startNatsServer } from "./start.ts";
export type { RunningNatsServer, StartOptions } from "./start.ts";
