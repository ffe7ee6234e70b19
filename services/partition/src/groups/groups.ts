/** The groups that stand open in a partition's log: those at home here are run, of all of them it is known how long they hold. */
import { heldHomeGroups, openGroups } from "@meridian/core";
import type { Entry, Headers, Position } from "@meridian/core";
import type { ActorLimits } from "../ports.ts";
import { GroupRun } from "./group-run.ts";
import type { GroupPorts, GroupSource } from "./group-run.ts";

/** One open group. */
interface Known {
  /** Trace context of the message with its entry. */
  headers: Headers;
  heldAt: number | null;
  run: AbortController | null;
}

const keyOf = ({ flush, index }: Position): string => `${flush}:${index}`;

export class Groups {
  readonly #ports: GroupPorts;
  readonly #source: GroupSource;
  readonly #limits: ActorLimits;
  readonly #fail: (error: unknown) => void;
  readonly #known = new Map<string, Known>();
  #running = 0;

  constructor(ports: GroupPorts, source: GroupSource, limits: ActorLimits, signal: AbortSignal, fail: (error: unknown) => void) {
    this.#ports = ports;
    this.#source = source;
    this.#limits = limits;
    this.#fail = fail;
    signal.addEventListener("abort", () => this.#endAll(), { once: true });
  }

  /** To be called with each message that is applied: its trace goes on in the groups that it brings. */
  applied(flush: number, entries: readonly Entry[], headers: Headers): void {
    for (const entry of entries) {
      if (entry.kind !== "group" && entry.kind !== "lock") continue;
      this.#known.set(keyOf({ flush, index: entry.index }), { headers, heldAt: null, run: null });
    }
  }

  /**
   * To be called after messages were applied: ends the runs of what is resolved.
   * @param begins also begins runs of what is held: only once all that was delivered is applied, so that nothing is begun that
   *               the next message ends
   */
  look(begins: boolean): void {
    if (this.#known.size === 0) return;
    const now = this.#ports.clock.now();
    const open = new Set<string>();
    for (const { position, held } of openGroups(this.#source.state)) {
      const key = keyOf(position);
      open.add(key);
      const known = this.#known.get(key);
      if (held && known !== undefined) known.heldAt ??= now;
    }
    for (const [key, known] of this.#known) if (!open.has(key)) this.#end(key, known, now);
    if (begins) this.#beginHeld();
  }

  /** What reports say. */
  report(): { group: Position; held: boolean }[] {
    return openGroups(this.#source.state)
      .slice(0, this.#limits.reportGroupsMax)
      .map(({ position, held }) => ({ group: position, held }));
  }

  #beginHeld(): void {
    for (const group of heldHomeGroups(this.#source.state)) {
      const known = this.#known.get(keyOf(group.position));
      if (known === undefined || known.run !== null) continue;
      if (this.#running >= this.#limits.groupsMax) return; // As soon as others have ended.
      const run = new GroupRun(this.#ports, this.#source, this.#limits, group);
      known.run = run.ended;
      this.#running++;
      void run
        .run(known.headers)
        .catch(this.#fail)
        .finally(() => this.#running--);
    }
  }

  #end(key: string, known: Known, now: number): void {
    this.#known.delete(key);
    known.run?.abort();
    if (known.heldAt !== null) this.#ports.metrics.lockHeldMs(now - known.heldAt);
  }

  #endAll(): void {
    for (const { run } of this.#known.values()) run?.abort();
  }
}
