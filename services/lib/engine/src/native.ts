/** The native addon: found in native/, used if it was built from the sources that are here. */
import { BugError } from "@meridian/core";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Boundary, Operation } from "./boundary.ts";
import { NOTHING } from "./boundary.ts";

interface Addon {
  perform(operation: number, handle: number, number: number, a: Uint8Array, b: Uint8Array, c: Uint8Array): Uint8Array;
  performBeside(operation: number, handle: number, input: Uint8Array): Promise<Uint8Array>;
  sources(): string;
}

/** Where the addon of this platform lies. */
export const nativePath = (): string =>
  fileURLToPath(new URL(`../native/engine.${process.platform}-${process.arch}.node`, import.meta.url));

export const hasNative = (): boolean => existsSync(nativePath());

/** The addon and the hash of the sources that it was built from. */
export function loadNative(): { boundary: Boundary; sources: string } {
  const addon = createRequire(import.meta.url)(nativePath()) as Addon;
  return { boundary: new NativeBoundary(addon), sources: addon.sources() };
}

class NativeBoundary implements Boundary {
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  perform(operation: Operation, handle: number, number: number, a = NOTHING, b = NOTHING, c = NOTHING): Uint8Array {
    try {
      return this.#addon.perform(operation, handle, number, a, b, c);
    } catch (error) {
      throw bugOf(error);
    }
  }

  async performBeside(operation: Operation, handle: number, input: Uint8Array): Promise<Uint8Array> {
    try {
      return await this.#addon.performBeside(operation, handle, input);
    } catch (error) {
      throw bugOf(error);
    }
  }

  async close(): Promise<void> {
    // The addon stays loaded as long as the process; engines free their state themselves.
  }
}

/** The crate panics only where an assertion of ours does not hold. */
function bugOf(error: unknown): BugError {
  const bug = new BugError(`bug: engine: ${error instanceof Error ? error.message : String(error)}`);
  bug.cause = error;
  return bug;
}
