/**
 * The loop of the archive: OUT in, blocks out.
 *
 * C1. One commit is outstanding; the blocks that are built meanwhile are the next one. A block is said only once it is committed.
 * C2. A start goes on from the newest stored block: its progress says from where OUT is read again.
 * C3. After an alarm nothing more is taken in. A gap that comes from OUT having been cut is no alarm: a snapshot fills it.
 * C4. A disk that is full stops intake, not the process: the same block is put again until there is room.
 */
import { hash } from "node:crypto";
import { isIoError, nextBlock, openAssembly, takeRecords } from "@meridian/core";
import type { Alarm, AssembledBlock, Assembly, Headers, OutBatch } from "@meridian/core";
import { needsRestore, readArchiveSnapshots, restoreArchive } from "@meridian/store";
import { wait } from "@meridian/process";
import type { Announcer } from "./announcer.ts";
import type { Keeper } from "./keeper.ts";
import type { ArchiveMetrics } from "./metrics.ts";
import type { ArchiveLimits, ArchivePorts } from "./ports.ts";
import type { ArchiveState } from "./state.ts";
import { tailBytesMaxOf } from "./tail-bound.ts";

export interface ConsumerParts {
  limits: ArchiveLimits;
  state: ArchiveState;
  metrics: ArchiveMetrics;
  announcer: Announcer;
  keeper: Keeper;
}

const sha256 = (bytes: Uint8Array): Uint8Array => hash("sha256", bytes, "buffer");

export class Consumer {
  readonly #ports: ArchivePorts;
  readonly #parts: ConsumerParts;
  readonly #signal: AbortSignal;
  /** Blocks for the next commit. */
  #waiting: AssembledBlock[] = [];
  #waitingBytes = 0;
  /** Ends when nothing waits any more. */
  #keeping: Promise<void> | null = null;
  /** The commit that is outstanding, with what follows it. */
  #commit: Promise<void> = Promise.resolve();
  /** Of the chain; set before anything is taken. */
  #blockGasLimit = 0;
  /** Trace context of OUT messages whose records are in no block yet, by first sequence. */
  #causes = new Map<number, Headers>();

  constructor(ports: ArchivePorts, parts: ConsumerParts, signal: AbortSignal) {
    this.#ports = ports;
    this.#parts = parts;
    this.#signal = signal;
  }

  /** Runs until the signal aborts or an alarm; then returns once nothing is outstanding. */
  async run(): Promise<void> {
    const { state } = this.#parts;
    await this.#trying("chain", () => this.#claim());
    await this.#trying("snapshot", () => this.#restore());
    for (let isGoing = true; isGoing && !this.#signal.aborted && state.phase !== "stopped";) {
      state.enter("running");
      const alarm = await this.#follow();
      isGoing = alarm !== null && (await this.#isCutOff(alarm));
    }
    await this.#keeping;
  }

  /** Waits for the chain's settings and makes sure that the database is this chain's. */
  async #claim(): Promise<boolean> {
    const { bus, store } = this.#ports;
    const settings = await bus.settings.get();
    if (settings === undefined) return false;
    this.#blockGasLimit = settings.blockGasLimit;
    const owner = await store.claim(settings.genesisHash);
    if (owner !== settings.genesisHash) {
      this.#stop({ code: "OTHER_CHAIN", genesisHash: settings.genesisHash, database: owner });
    }
    return true;
  }

  async #restore(): Promise<boolean> {
    const { bus, store, telemetry } = this.#ports;
    const { kept } = await readArchiveSnapshots(bus.objects);
    if (!needsRestore(store, kept)) return true;
    this.#parts.state.enter("restoring");
    telemetry.log.info({ head: this.#parts.state.head, newest: kept[0]?.block }, "Restoring from a snapshot");
    const damaged = await restoreArchive(bus.objects, store, () => this.#parts.state.wake());
    for (const damage of damaged) telemetry.log.error({ ...damage }, "Part of a snapshot is damaged");
    telemetry.log.info({ head: this.#parts.state.head }, "Restored");
    return true;
  }

  /** Asks again after failures that pass, and while `work` has nothing yet; stops on those that do not. */
  async #trying(what: string, work: () => Promise<boolean>): Promise<void> {
    const { clock, telemetry } = this.#ports;
    const { retryMsMin, retryMsMax } = this.#parts.limits;
    for (let pauseMs = retryMsMin; !this.#signal.aborted && this.#parts.state.phase !== "stopped";) {
      try {
        if (await work()) return;
        pauseMs = retryMsMin;
      } catch (error) {
        if (!isIoError(error)) throw error;
        if (error.retry === "never") return this.#stop(error.detail);
        telemetry.log.warn({ ...error.detail, what }, "Failed, trying again");
        pauseMs = Math.min(pauseMs * 2, retryMsMax);
      }
      await wait(clock, pauseMs, this.#signal);
    }
  }

  /** Assembles from where the store stands. Returns the alarm that ended it, null after an abort. */
  async #follow(): Promise<Alarm | { code: string } | null> {
    const { bus, store } = this.#ports;
    const { limits, state } = this.#parts;
    await this.#keeping;
    const tailBytesMax = tailBytesMaxOf(this.#blockGasLimit, limits.tailBytesMin);
    const assembly = openAssembly(store.start(), { sha256, tailBytesMax, marksMax: limits.marksMax });
    state.assembly = assembly;
    this.#causes.clear();
    try {
      for await (const messages of bus.out.read(assembly.sequence, { bytesMax: limits.outBytesMax, signal: this.#signal })) {
        for (const message of messages) await this.#take(assembly, message);
        if (assembly.alarm !== null || state.phase === "stopped") return assembly.alarm;
        await this.#ports.pause();
      }
      return null;
    } catch (error) {
      // The bus makes whole records of parts and decodes them: what it finds there is ours to stop at.
      if (isIoError(error) && error.retry === "never" && !this.#signal.aborted) return error.detail;
      throw error;
    }
  }

  async #take(assembly: Assembly, message: OutBatch): Promise<void> {
    const { metrics } = this.#parts;
    const { taken, duplicates, unchecked } = takeRecords(assembly, message);
    const isTraced = this.#ports.telemetry.on && "traceparent" in message.headers;
    if (isTraced && taken > 0) this.#causes.set(message.firstSequence, message.headers);
    if (duplicates > 0) metrics.duplicates(duplicates, { compared: true });
    if (unchecked > 0) metrics.duplicates(unchecked, { compared: false });
    for (;;) {
      const startedAt = this.#ports.clock.now();
      const block = nextBlock(assembly, this.#ports.engine);
      if (block === null) return;
      metrics.buildMs(this.#ports.clock.now() - startedAt);
      metrics.blockTransactions(block.count);
      this.#waiting.push(block);
      this.#waitingBytes += block.transactions.length + block.results.length;
      this.#keeping ??= this.#keep();
      const { commitBlocksMax, commitBytesMax } = this.#parts.limits;
      if (this.#waiting.length >= commitBlocksMax || this.#waitingBytes >= commitBytesMax) await this.#commit;
    }
  }

  async #keep(): Promise<void> {
    while (this.#waiting.length > 0) {
      const blocks = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#commit = this.#put(blocks);
      await this.#commit;
    }
    this.#keeping = null;
  }

  /** Stores blocks, says them, tidies up after them. */
  async #put(blocks: readonly AssembledBlock[]): Promise<void> {
    const { store, clock } = this.#ports;
    const { metrics, state, announcer, keeper } = this.#parts;
    const spans = blocks.map((block) => this.#spanOf(block));
    const startedAt = clock.now();
    await this.#trying("put", async () => {
      try {
        await store.put(blocks);
        return true;
      } catch (error) {
        if (isIoError(error, "STORE_WRITE")) state.enter("full", error.message);
        throw error;
      }
    });
    for (const span of spans) span.end();
    if (store.head()?.number !== blocks.at(-1)?.number) return; // Stopped while the disk was full.
    metrics.putMs(clock.now() - startedAt);
    if (state.phase === "full") state.enter("running");
    for (const block of blocks) announcer.say(block);
    state.wake();
    for (const block of blocks) await this.#tidy(() => keeper.afterBlock(block));
  }

  async #tidy(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isIoError(error)) throw error;
      this.#ports.telemetry.log.warn({ ...error.detail }, "An old block could not be removed, trying again with the next one");
    }
  }

  #spanOf({ number, count, gasUsed, sequences }: AssembledBlock) {
    const { telemetry } = this.#ports;
    const links: Headers[] = [];
    for (const sequence of sequences) {
      const cause = this.#causes.get(sequence);
      if (cause !== undefined && links.length < this.#parts.limits.linksMax) links.push(cause);
      this.#causes.delete(sequence);
    }
    const attributes = { "meridian.block": number, "meridian.transactions": count, "meridian.gas_used": gasUsed };
    return telemetry.span("block", { kind: "consumer", links, attributes });
  }

  /** True if OUT simply does not have what is missing any more, and a snapshot has filled the gap; else stops. */
  async #isCutOff(alarm: { code: string }): Promise<boolean> {
    const { bus, store } = this.#ports;
    await this.#keeping;
    const headBefore = this.#parts.state.head;
    if (alarm.code === "GAP") {
      await this.#trying("snapshot", async () => {
        const { kept } = await readArchiveSnapshots(bus.objects);
        return needsRestore(store, kept) ? this.#restore() : true;
      });
      if (this.#parts.state.head > headBefore) return true;
    }
    this.#stop(alarm);
    return false;
  }

  #stop<A extends { code: string }>(alarm: A): void {
    if (this.#parts.state.phase === "stopped" || this.#signal.aborted) return;
    this.#parts.metrics.alarms(1, { code: alarm.code });
    this.#ports.telemetry.log.error({ ...alarm }, "Alarm: nothing more is taken in");
    this.#parts.state.enter("stopped", describe(alarm));
  }

  /** Stops for a reason found elsewhere. */
  alarm<A extends { code: string }>(alarm: A): void {
    this.#stop(alarm);
  }
}

function describe({ code, ...facts }: { code: string }): string {
  const texts = Object.entries(facts).map(([name, value]) => `${name} ${String(value)}`);
  return [code, ...texts].join(texts.length > 0 ? " " : "");
}
