export { CALLS_MAX } from "./engine.ts";
export { loadEngine } from "./load.ts";
export type { EngineChoice } from "./load.ts";
