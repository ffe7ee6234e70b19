/** What the engine uses of the WebAssembly JavaScript interface; TypeScript knows it only together with all of the DOM. */

export type WasmModule = object;

export interface WasmMemory {
  /** Changes when the memory grows: to be asked for anew. */
  readonly buffer: SharedArrayBuffer;
}

export interface WasmGlobal {
  value: number;
}

interface WebAssemblyInterface {
  Module: new (bytes: Uint8Array) => WasmModule;
  Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  Instance: new (module: WasmModule, imports: { env: { memory: WasmMemory } }) => { readonly exports: unknown };
}

export const { Module, Memory, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyInterface }).WebAssembly;
