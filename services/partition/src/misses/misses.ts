/**
 * Says which local transactions missed in the open block, until the leader has taken them.
 *
 * M1. Their order and count are those of the log: after a restart the same ones stand at the same places.
 * M2. Only what stands before everything that is not ready yet is said, so that the leader never sees a gap.
 * M3. What the leader has taken is what its last beat says, also if that is less than before: a new leader begins at none.
 * M4. A look costs what is new, not what the block has had: it goes on where the last one stopped.
 */
import { SUBJECT, encodeMisses } from "@meridian/bus";
import { WHY, touchWhy } from "@meridian/core";
import type { Beat, MissedTransaction, PartitionState, Wire } from "@meridian/core";
import type { PartitionMetrics } from "../metrics.ts";
import type { ActorLimits } from "../ports.ts";
import { completed } from "./trace.ts";
import type { TracePorts } from "./trace.ts";

export interface MissPorts extends TracePorts {
  wire: Wire;
  metrics: PartitionMetrics;
}

interface Missed {
  transaction: MissedTransaction;
  phase: "known" | "traced" | "ready";
  /** Since when it could have been completed: the first look. */
  since: number;
}

const WHY_NAMES = Object.entries(WHY);

export class MissTeller {
  readonly #ports: MissPorts;
  readonly #state: PartitionState;
  readonly #limits: ActorLimits;
  readonly #fail: (error: unknown) => void;
  /** Of the open block, in the order of the log. */
  #missed: Missed[] = [];
  #block = 0;
  /** Of these the leader has so many. */
  #taken = 0;
  /** So many are said at least once. */
  #said = 0;
  /** So many have been looked at, and of so many it is decided whether they are completed. */
  #looked = 0;
  #decided = 0;
  #tracing = 0;
  #isEnded = false;
  #cancel: (() => void) | null = null;

  constructor(ports: MissPorts, state: PartitionState, limits: ActorLimits, signal: AbortSignal, fail: (error: unknown) => void) {
    this.#ports = ports;
    this.#state = state;
    this.#block = state.block?.number ?? 0;
    this.#limits = limits;
    this.#fail = fail;
    signal.addEventListener("abort", () => this.#end(), { once: true });
  }

  /** To be called with what each message made miss, in order; says nothing yet. */
  applied(missed: readonly MissedTransaction[]): void {
    for (const transaction of missed) {
      const why = touchWhy(transaction.touch, 0);
      this.#missed.push({ transaction, phase: why === WHY.outside ? "known" : "ready", since: 0 });
      this.#ports.metrics.misses(1, { why: WHY_NAMES.find(([, code]) => code === why)?.[0] ?? "unknown" });
    }
  }

  /** To be called when a block has opened: it begins without misses. */
  blockOpened(): void {
    this.#block = this.#state.block?.number ?? 0;
    this.#missed = [];
    this.#taken = 0;
    this.#said = 0;
    this.#looked = 0;
    this.#decided = 0;
  }

  hear({ open, missesTaken }: Beat): void {
    if (open.number !== this.#block) return;
    this.#taken = missesTaken.find(([partition]) => partition === this.#state.partition)?.[1] ?? 0;
  }

  /** To be called once all that was delivered is applied: completes and says what is new. */
  look(): void {
    if (this.#isEnded) return;
    this.#trace();
    this.#sayNew();
  }

  #trace(): void {
    const { missTracesMax, missTraceMs } = this.#limits;
    const now = this.#ports.clock.now();
    for (; this.#looked < this.#missed.length; this.#looked++) this.#missed[this.#looked]!.since = now;
    for (; this.#decided < this.#missed.length; this.#decided++) {
      const missed = this.#missed[this.#decided]!;
      if (missed.phase !== "known") continue;
      // Its turn to be completed did not come in time: a leader that waits for it is worse than one that knows less.
      if (now - missed.since >= missTraceMs) missed.phase = "ready";
      else if (this.#tracing < missTracesMax) this.#complete(missed);
      else return; // Those behind it have waited less.
    }
  }

  #complete(missed: Missed): void {
    missed.phase = "traced";
    this.#tracing++;
    completed(missed.transaction, this.#ports, this.#limits.missTraceMs)
      .then((transaction) => {
        missed.transaction = transaction;
        missed.phase = "ready";
      })
      .catch(this.#fail)
      .finally(() => {
        this.#tracing--;
        this.look();
      });
  }

  /** So many are ready without a gap. */
  #ready(): number {
    let ready = this.#said;
    while (this.#missed[ready]?.phase === "ready") ready++;
    return ready;
  }

  #sayNew(): void {
    const ready = this.#ready();
    this.#say(this.#said, ready);
    this.#said = Math.max(this.#said, ready);
    this.#cancel ??= this.#said > 0 ? this.#ports.clock.after(this.#limits.missRepeatMs, () => this.#repeat()) : null;
  }

  #repeat(): void {
    this.#cancel = null;
    if (this.#state.rules.redelivers) this.#say(this.#taken, this.#said, this.#limits.missRepeatBytesMax); // Rule redelivers
    if (this.#said > 0) this.#cancel = this.#ports.clock.after(this.#limits.missRepeatMs, () => this.#repeat());
  }

  /** Says those from `first` up to `end`, in messages of bounded size, as long as `bytesMax` is not reached: the others later. */
  #say(first: number, end: number, bytesMax = Number.POSITIVE_INFINITY): void {
    for (let at = first, said = 0; at < end && said < bytesMax;) {
      const from = at;
      const missed: MissedTransaction[] = [];
      for (let bytes = 0; at < end && (missed.length === 0 || bytes < this.#limits.missBytesMax); at++) {
        const { transaction } = this.#missed[at]!;
        missed.push(transaction);
        bytes += transaction.record.length + transaction.touch.length;
      }
      const message = { partition: this.#state.partition, block: this.#block, first: from, missed };
      const payload = encodeMisses(message);
      said += payload.length;
      this.#ports.wire.publish(SUBJECT.misses, payload);
    }
  }

  #end(): void {
    this.#isEnded = true;
    this.#cancel?.();
  }
}
