/** The engine of a run. */
import type { EngineModule } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import type { EngineChoice } from "@meridian/engine";
import { toyModule } from "./world/toy.ts";

/** `toy`: the engine that the rules around it are tested with; its worlds have no contracts. */
export type SimEngine = EngineChoice | "toy";

const loaded = new Map<SimEngine, EngineModule>();

/** After a bug an engine is of no more use. */
export const forgetEngines = (): void => loaded.clear();

export function engineOf(choice: SimEngine): { module: EngineModule; isToy: boolean } {
  const module = loaded.get(choice) ?? (choice === "toy" ? toyModule() : loadEngine(choice));
  loaded.set(choice, module);
  return { module, isToy: choice === "toy" };
}
