/**
 * The groups that stand open in a partition's log: those at home here are run, of all of them it is known how long they hold.
 * What a message costs hangs on the groups that it brings, lets hold and ends, not on how many are open.
 */
import { groupState } from "@meridian/core";
import type { Applied, Entry, Headers, OpenGroup, Position } from "@meridian/core";
import type { ActorLimits } from "../ports.ts";
import { GroupRun } from "./group-run.ts";
import type { GroupPorts, GroupSource } from "./group-run.ts";
import { Pace } from "./pace.ts";
import { SeenCells } from "./seen-cells.ts";

/** One open group. */
interface Known {
  /** Trace context of the message with its entry. */
  headers: Headers;
  heldAt: number | null;
  run: AbortController | null;
}

const keyOf = ({ flush, index }: Position): string => `${flush}:${index}`;

export class Groups {
  readonly #ports: Omit<GroupPorts, "pace" | "seen">;
  readonly #pace: Pace;
  readonly #seen: SeenCells;
  readonly #source: GroupSource;
  readonly #limits: ActorLimits;
  readonly #fail: (error: unknown) => void;
  readonly #known = new Map<string, Known>();
  /** Held, at home here, and not begun. */
  #due: OpenGroup[] = [];
  #mayBegin = false;
  #running = 0;

  constructor(
    ports: Omit<GroupPorts, "pace" | "seen">,
    source: GroupSource,
    limits: ActorLimits,
    signal: AbortSignal,
    fail: (error: unknown) => void,
  ) {
    this.#ports = ports;
    this.#pace = new Pace(limits.groupRunMsMax);
    this.#seen = new SeenCells(limits);
    this.#source = source;
    this.#limits = limits;
    this.#fail = fail;
    signal.addEventListener("abort", () => this.#endAll(), { once: true });
  }

  /** To be called with each message that is applied: its trace goes on in the groups that it brings, what it ends is ended. */
  applied(flush: number, entries: readonly Entry[], held: Applied["held"], headers: Headers): void {
    for (const entry of entries) {
      if (entry.kind === "group" || entry.kind === "lock") {
        this.#known.set(keyOf({ flush, index: entry.index }), { headers, heldAt: null, run: null });
      } else if (entry.kind === "apply" || entry.kind === "abort") this.#end(entry.group);
    }
    for (const group of held) {
      const known = this.#known.get(keyOf(group.position));
      if (known === undefined) continue; // It ended in the same message.
      known.heldAt = this.#ports.clock.now();
      if (group.isHome) this.#due.push(group);
    }
    this.#mayBegin = false;
  }

  /**
   * To be called after messages were applied.
   * @param begins begins runs of what is held: only once all that was delivered is applied, so that nothing is begun that
   *               the next message ends
   */
  look(begins: boolean): void {
    this.#mayBegin = begins;
    if (begins) this.#beginDue();
  }

  /** What reports say. */
  report(): { group: Position; held: boolean }[] {
    const said: { group: Position; held: boolean }[] = [];
    for (const { position, held } of this.#source.state.open.groups.values()) {
      if (said.length >= this.#limits.reportGroupsMax) break;
      said.push({ group: position, held });
    }
    return said;
  }

  /** As many as may run; the others as soon as some have ended. */
  #beginDue(): void {
    while (this.#mayBegin && this.#running < this.#limits.groupsMax) {
      const group = this.#due.shift();
      if (group === undefined) return;
      const known = this.#known.get(keyOf(group.position));
      if (known === undefined || groupState(this.#source.state, group.position) !== "held") continue;
      const run = new GroupRun({ ...this.#ports, pace: this.#pace, seen: this.#seen }, this.#source, this.#limits, group);
      known.run = run.ended;
      this.#running++;
      void run
        .run(known.headers)
        .catch(this.#fail)
        .finally(() => {
          this.#running--;
          this.#beginDue();
        });
    }
  }

  #end(position: Position): void {
    const key = keyOf(position);
    const known = this.#known.get(key);
    if (known === undefined) return;
    this.#known.delete(key);
    known.run?.abort();
    if (known.heldAt !== null) this.#ports.metrics.lockHeldMs(this.#ports.clock.now() - known.heldAt);
  }

  #endAll(): void {
    this.#due = [];
    for (const { run } of this.#known.values()) run?.abort();
  }
}
