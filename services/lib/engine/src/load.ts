/** Chooses and loads a build. */
import type { EngineModule } from "@meridian/core";
import { IoError } from "@meridian/core";
import { OP } from "./boundary.ts";
import { PackedEngine } from "./engine.ts";
import { PackedModule } from "./module.ts";
import { hasNative, loadNative } from "./native.ts";
import { sourcesHash } from "./sources.ts";
import { wasmModule } from "./wasm.ts";

/** `auto` takes the native build if it is there and belongs to the sources, else WebAssembly. */
export type EngineChoice = "native" | "wasm" | "auto";

/**
 * Loads a build of the engine. Can be called in any thread; every call gives an instance of its own.
 * @throws IoError ENGINE_NATIVE_MISSING or ENGINE_NATIVE_STALE if the native build is asked for and cannot be used
 */
export function loadEngine(choice: EngineChoice = "auto"): EngineModule {
  return loadModule(choice);
}

/** The same with what only this package's own programs use. */
export function loadModule(choice: EngineChoice): PackedModule {
  const native = choice === "wasm" ? null : nativeModule();
  if (native instanceof PackedModule) return native;
  if (choice === "native" && native !== null) throw native;
  // Falling back costs half of the speed: whoever built an addon wants to know that it is not used.
  if (native?.detail.code === "ENGINE_NATIVE_STALE") process.emitWarning(`${native.message}; using WebAssembly`);
  return wasmModule();
}

function nativeModule(): PackedModule | IoError {
  const advice = "run `npm run engine:native`";
  if (!hasNative()) return new IoError({ code: "ENGINE_NATIVE_MISSING", text: advice }, "never");
  const { boundary, sources } = loadNative();
  const wanted = sourcesHash();
  if (wanted !== null && wanted !== sources) {
    return new IoError({ code: "ENGINE_NATIVE_STALE", text: `built from other sources; ${advice}` }, "never");
  }
  return new PackedModule({
    name: "native",
    stateless: boundary,
    decode: (raw, limits) => boundary.perform(OP.decode, 0, 0, raw, limits),
    open: (options) => new PackedEngine(boundary, options, false),
  });
}
