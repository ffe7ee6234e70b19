/**
 * Moves of ranges: writes out what goes, fetches what comes.
 *
 * V1. What is written out is the state as of one block, read by version beside the log.
 * V2. Objects are named by their content: a restart that writes them again changes nothing.
 * V3. Nothing is imported unchecked: chunks by SHA-256, as the `map` entry says it.
 */
import { createHash } from "node:crypto";
import { IoError, bytesOfHex, chunksFor, isExportable, isIoError, movesOut, sealedBlock } from "@meridian/core";
import type {
  Bus,
  ChunkCells,
  Clock,
  Engine,
  HandOver,
  LogMessage,
  MovedRange,
  Objects,
  PartitionId,
  PartitionState,
  Report,
  Telemetry,
} from "@meridian/core";
import { wait } from "@meridian/process";
import type { ActorLimits } from "./ports.ts";
import type { Turns } from "./turns.ts";

export interface HandOverPorts {
  objects: Objects;
  clock: Clock;
  telemetry: Telemetry;
  turns: Turns;
}

/** Prefix of what a partition gains. */
const gainedPrefix = (to: PartitionId): string => `move/${to}/`;
/** Name of a chunk's object: whoever gains it finds and removes those that it needs no more. */
const chunkObject = (to: PartitionId, block: number, sha256: string): string => `${gainedPrefix(to)}${block}/${sha256}`;
const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The moves of the last `block` entry. */
interface Due {
  block: number;
  moves: readonly MovedRange[];
  ended: AbortController;
  done: HandOver[] | null;
}

/** What this partition gives away. */
export class HandOvers {
  readonly #ports: HandOverPorts;
  readonly #state: PartitionState;
  readonly #engine: Engine;
  readonly #limits: ActorLimits;
  readonly #fail: (error: unknown) => void;
  #due: Due | null = null;

  constructor(
    ports: HandOverPorts,
    { state, engine }: { state: PartitionState; engine: Engine },
    limits: ActorLimits,
    signal: AbortSignal,
    fail: (error: unknown) => void,
  ) {
    this.#ports = ports;
    this.#state = state;
    this.#engine = engine;
    this.#limits = limits;
    this.#fail = fail;
    signal.addEventListener("abort", () => this.#due?.ended.abort(), { once: true });
  }

  /**
   * To be called after messages were applied: ends what is due no more.
   * @param begins also begins what is due: only once all that was delivered is applied
   */
  look(begins: boolean): void {
    const block = this.#state.closedBlock;
    const moves = movesOut(this.#state);
    if (this.#due !== null && (moves.length === 0 || this.#due.block !== block)) {
      this.#due.ended.abort();
      this.#due = null;
    }
    if (!begins || moves.length === 0 || this.#due !== null) return;
    this.#due = { block, moves, ended: new AbortController(), done: null };
    this.#write(this.#due).catch(this.#fail);
  }

  report(): Report["handOvers"] {
    return this.#due === null || this.#due.done === null ? null : { block: this.#due.block, ranges: this.#due.done };
  }

  async #write(due: Due): Promise<void> {
    const { telemetry, clock } = this.#ports;
    const startedAt = clock.now();
    const facts = { partition: this.#state.partition, block: due.block, ranges: due.moves.length };
    const ranges: HandOver[] = [];
    for (const move of due.moves) {
      const chunks = await this.#chunks(due, move);
      if (chunks === null) return telemetry.log.warn(facts, "A move ended before all of it was written out");
      ranges.push({ ...move, chunks });
    }
    due.done = ranges;
    telemetry.log.info({ ...facts, ms: Math.round(clock.now() - startedAt) }, "Moved ranges are written out");
  }

  async #chunks(due: Due, move: MovedRange): Promise<HandOver["chunks"] | null> {
    const { signal } = due.ended;
    const last = bytesOfHex(move.last);
    const chunks: HandOver["chunks"] = [];
    for (let next: Uint8Array | null = bytesOfHex(move.first); next !== null;) {
      const first: Uint8Array = next;
      const chunk = await this.#ports.turns.take(() => {
        if (signal.aborted || !isExportable(due.block, sealedBlock(this.#state))) return null;
        return this.#engine.exportCells(due.block, first, last, this.#limits.chunkBytes);
      });
      if (chunk === null) return null;
      if (chunk.cells.length > 0) {
        const bytes = chunk.cells.slice();
        const sha256 = sha256Of(bytes);
        const object = chunkObject(move.to, due.block, sha256);
        if (!(await this.#put(object, bytes, signal))) return null;
        chunks.push({ object, sha256, bytes: bytes.length });
      }
      next = chunk.next;
    }
    return chunks;
  }

  /** Until the server has it; false if the move ended first. */
  async #put(object: string, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const { objects, clock, telemetry } = this.#ports;
    const { retryMsMin, retryMsMax } = this.#limits;
    for (let pauseMs = retryMsMin; !signal.aborted; pauseMs = Math.min(pauseMs * 2, retryMsMax)) {
      try {
        await objects.put(object, bytes);
        return true;
      } catch (error) {
        if (!isIoError(error) || error.retry === "never") throw error;
        telemetry.log.warn({ ...error.detail, object }, "A moved range cannot be written out; trying again");
        await wait(clock, pauseMs, signal);
      }
    }
    return false;
  }
}

/**
 * The chunks that this message's `map` entry brings to a partition, by object name; usually none.
 * @throws IoError HAND_OVER_DAMAGED, retry "never"; what the bus throws if it cannot be asked
 */
export async function handedOver({ objects }: Bus, state: PartitionState, message: LogMessage): Promise<ChunkCells> {
  const cells = new Map<string, Uint8Array>();
  for (const { object, sha256 } of chunksFor(state, message)) {
    const bytes = await objects.get(object);
    const got = bytes === undefined ? "no object" : sha256Of(bytes);
    if (bytes === undefined || got !== sha256) {
      throw new IoError({ code: "HAND_OVER_DAMAGED", object, got, want: sha256 }, "never");
    }
    cells.set(object, bytes);
  }
  return cells;
}

/**
 * Removes the chunks that a partition gained before a block: its log is not read again from before that.
 * @param block of the oldest snapshot that is kept
 */
export async function removeGained(objects: Objects, partition: PartitionId, block: number): Promise<void> {
  const prefix = gainedPrefix(partition);
  for (const object of await objects.list(prefix)) {
    if (Number(object.slice(prefix.length).split("/")[0]) < block) await objects.delete(object);
  }
}
