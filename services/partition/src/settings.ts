import { constrainedMemory } from "node:process";
import { totalmem } from "node:os";
import { defineSettings, serviceSettings } from "@meridian/core";

export const partitionSettings = defineSettings({
  ...serviceSettings,
  partitions: {
    variable: "MERIDIAN_PARTITIONS",
    kind: "integers",
    min: 0,
    help: "Partitions of this host, by number.",
  },
  memoryMaxMb: {
    variable: "MERIDIAN_MEMORY_MAX_MB",
    kind: "integer",
    optional: true,
    min: 16,
    help: "Memory bound of one partition in MiB; default: a quarter of the machine's memory, shared by the host's partitions.",
  },
});

const MIB = 1024 * 1024;
/** The rest is for other hosts, the server's cache, and what grows between two looks. */
const MACHINE_SHARE = 0.25;

/** A WebAssembly memory ends at 4 GiB; the rest is for cells of calls, for snapshots, and for what grows between two looks. */
const WASM_BYTES_MAX = 3 * 1024 * MIB;

/** The bound that an engine of this build can keep: beyond it the engine would fail instead of the scheduler refusing. */
export function engineBytesMax(build: "native" | "wasm", bytesMax: number): number {
  return build === "wasm" ? Math.min(bytesMax, WASM_BYTES_MAX) : bytesMax;
}

/** Bytes that one of `partitions` partitions may use before the scheduler sends it no more. */
export function memoryBytesMaxOf(memoryMaxMb: number | undefined, partitions: number): number {
  if (memoryMaxMb !== undefined) return memoryMaxMb * MIB;
  const allowed = constrainedMemory(); // 0, or more than there is, without a limit
  const bytes = allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
  return Math.floor((bytes * MACHINE_SHARE) / partitions);
}
