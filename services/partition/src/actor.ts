/**
 * One partition: reads its log in order, applies it, publishes what came of it, reports, takes snapshots, answers reads.
 *
 * L1. Records are published in the order of the log; a restart goes on right behind what OUT has.
 * L2. A log that cannot be believed stops the partition for good: it says so in every report and answers reads with it.
 * L3. Whatever else fails ends the actor; its host starts it again from the last snapshot.
 * L4. Another process may work for the partition at the same time, and this one be far behind, because it stood still: that is no
 *     fault of the log. Both make the same records, and what one of them says of the partition is never wrong, only old.
 */
import { SUBJECT, decodeBeat } from "@meridian/bus";
import { IoError, applyMessage, isIoError, refusalOf, txCount } from "@meridian/core";
import type { Applied, Headers, LogBatch, OutRecord, PartitionId, Report } from "@meridian/core";
import { openSnapshots } from "@meridian/store";
import { wait } from "@meridian/process";
import { aborted } from "./aborted.ts";
import { Beside } from "./beside.ts";
import { waitForChain } from "./chain-start.ts";
import { isFinal } from "./failures.ts";
import { MemoryWatch } from "./memory.ts";
import { partitionMetrics } from "./metrics.ts";
import type { Observed, PartitionMetrics } from "./metrics.ts";
import { needsOf } from "./needs.ts";
import type { Needs } from "./needs.ts";
import type { ActorOptions, ActorPorts } from "./ports.ts";
import { Progress } from "./progress.ts";
import { Publisher } from "./publisher.ts";
import { Reads } from "./reads.ts";
import { maySayPassed, recover, throwIfPassed, whyNotFromGenesis } from "./recovery.ts";
import type { Recovered } from "./recovery.ts";
import { Reporter } from "./reporter.ts";
import { Snapshotter } from "./snapshotter.ts";
import { spanOf } from "./span.ts";

export interface ActorStatus {
  partition: PartitionId;
  n: number;
  closedBlock: number;
  /** Block of the snapshot it began from, null if from genesis. */
  fromBlock: number | null;
  /** Blocks of the snapshots that are kept, newest first. */
  snapshots: number[];
  /** True once it has reached the end that the log had at the start. */
  isCaughtUp: boolean;
  /** Why it does not go on. */
  stopped: string | null;
}

export interface Actor {
  status(): ActorStatus;
  /** Ends all it does; resolves when nothing runs any more. */
  stop(): Promise<void>;
  /** Rejects when the actor failed; resolves after `stop`. */
  readonly done: Promise<void>;
}

/** What is under way at a stop has this long to end. */
const SETTLE_MS = 1_000;
/** OUT has this long to take what a snapshot waits for. */
const SNAPSHOT_OUT_MS = 60_000;

/**
 * Recovers a partition and runs it.
 * @param signal ends the wait for a chain that is not begun; afterwards `stop` does
 * @returns when it has recovered; the log is applied from there on
 * @throws IoError STOPPING; FORMAT_UNKNOWN of a later version's snapshots; what the bus throws if it cannot be asked
 */
export async function startActor(ports: ActorPorts, options: ActorOptions, signal: AbortSignal): Promise<Actor> {
  const chainId = await waitForChain(ports, options, signal);
  const { bus, telemetry } = ports;
  const snapshots = openSnapshots(bus, options.partition);
  const recovery = { bus, snapshots, openEngine: () => ports.openEngine(chainId), log: telemetry.log };
  const recovered = await recover(recovery, options.partition, chainId, options.rules);
  const tail = (await bus.log.tails()).find(({ partition }) => partition === options.partition);
  return new RunningActor(ports, options, recovered, tail?.n ?? 1);
}

class RunningActor implements Actor {
  readonly done: Promise<void>;
  readonly #ports: ActorPorts;
  readonly #options: ActorOptions;
  readonly #recovered: Recovered;
  readonly #tailN: number;
  readonly #fromBlock: number | null;
  readonly #ended = new AbortController();
  readonly #metrics: PartitionMetrics;
  readonly #memoryWatch: MemoryWatch;
  readonly #progress: Progress;
  readonly #publisher: Publisher;
  readonly #snapshotter: Snapshotter;
  readonly #reads: Reads;
  readonly #reporter: Reporter;
  readonly #beside: Beside;
  readonly #unsubscribe: (() => void)[];
  /** Not looked at unless a rule is switched off. */
  #lateSnapshot: Applied["snapshot"] = null;
  #stopped: string | null = null;
  #failure: { error: unknown } | null = null;
  #memory = { bytes: 0, accounts: 0, slots: 0 };
  #transactions = 0;
  #busyMs = 0;
  #logN = 0;
  /** The highest term heard, and whether its leader waits for everything to be resolved. */
  #heard = { term: 0, isDraining: false };

  constructor(ports: ActorPorts, options: ActorOptions, recovered: Recovered, tailN: number) {
    const { bus, telemetry, clock } = ports;
    const { partition, limits } = options;
    const { state, engine, outN } = recovered;
    this.#ports = ports;
    this.#options = options;
    this.#recovered = recovered;
    this.#tailN = tailN;
    this.#fromBlock = state.position.n === 0 ? null : state.closedBlock;
    this.#memory = engine.memory();
    this.#metrics = partitionMetrics(telemetry, partition, () => this.#observe());
    this.#memoryWatch = new MemoryWatch(telemetry.log, partition, options.memoryBytesMax);
    this.#progress = new Progress(clock);
    const progress = this.#progress;
    const metrics = this.#metrics;
    const { publishMs } = metrics;
    this.#publisher = new Publisher(
      { out: bus.out, clock, telemetry, progress, publishMs },
      partition,
      limits,
      outN,
      this.#ended.signal,
    );
    const publishedN = () => this.#publisher.publishedN;
    this.#snapshotter = new Snapshotter(
      {
        snapshots: openSnapshots(bus, partition),
        log: bus.log,
        objects: bus.objects,
        telemetry,
        clock,
        progress,
        metrics,
        pause: ports.pause,
        publishedN,
      },
      { chunkBytes: limits.chunkBytes, outMsMax: SNAPSHOT_OUT_MS, signal: this.#ended.signal },
      recovered,
      (error) => this.#fail(error),
    );
    const source = { state, engine, stopped: () => this.#stopped };
    this.#reads = new Reads({ wire: bus.wire, clock, progress, telemetry, metrics }, source, limits, this.#ended.signal);
    const beside = { bus, clock, telemetry, metrics, pause: ports.pause, callOf: ports.callOf };
    this.#beside = new Beside(beside, source, limits, this.#ended.signal, (error) => this.#fail(error));
    this.#reporter = new Reporter(bus.wire, clock, limits, () => this.#report());
    this.#unsubscribe = [this.#reads.serve(), bus.wire.subscribe(SUBJECT.beat, ({ payload }) => this.#hear(payload))];
    this.#look(true); // A snapshot of a block with moves: what is due does not stand in the log any more.
    this.#reporter.now();
    this.done = this.#run();
    void Promise.allSettled([this.done]); // Whoever asks for `done` later still sees its failure.
  }

  status(): ActorStatus {
    const { state } = this.#recovered;
    return {
      partition: this.#options.partition,
      n: state.position.n,
      closedBlock: state.closedBlock,
      fromBlock: this.#fromBlock,
      snapshots: this.#snapshotter.keptBlocks,
      isCaughtUp: state.position.n >= this.#tailN,
      stopped: this.#stopped,
    };
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    await Promise.allSettled([this.done]);
  }

  async #run(): Promise<void> {
    try {
      await this.#followLog();
      // Stopped for good: what it had is still published, and it goes on saying why.
      if (this.#stopped !== null) await aborted(this.#ended.signal);
      if (this.#failure !== null) throw this.#failure.error;
    } finally {
      this.#ended.abort();
      this.#reporter.stop();
      for (const unsubscribe of this.#unsubscribe) unsubscribe();
      await this.#settle();
      await this.#recovered.engine.close();
    }
  }

  /** What is under way may end in order; a server that does not answer holds nobody up: the next start finds out what it has. */
  async #settle(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = this.#ports.clock.after(SETTLE_MS, resolve);
    await Promise.race([Promise.all([this.#publisher.drained(), this.#snapshotter.idle()]), late]);
    cancel();
  }

  /** Reads the log until the actor ends or must stop; what passes is tried again. */
  async #followLog(): Promise<void> {
    const { clock, telemetry } = this.#ports;
    const { partition, limits } = this.#options;
    const { signal } = this.#ended;
    let pauseMs = limits.retryMsMin;
    while (!signal.aborted && this.#stopped === null) {
      const before = this.#recovered.state.position.n;
      try {
        await this.#readOn();
        return;
      } catch (error) {
        if (!isIoError(error)) throw error;
        if (signal.aborted) return;
        if (isFinal(error)) return this.#stopUnlessPassed(whyNotFromGenesis(error, this.#recovered));
        if (error.retry === "never") throw error;
        telemetry.log.warn({ ...error.detail, partition }, "The log cannot be read; trying again");
        pauseMs = this.#recovered.state.position.n > before ? limits.retryMsMin : Math.min(pauseMs * 2, limits.retryMsMax);
        await wait(clock, pauseMs, signal);
      }
    }
  }

  async #readOn(): Promise<void> {
    const { partition, limits } = this.#options;
    const { signal } = this.#ended;
    const { position } = this.#recovered.state;
    const batches = this.#ports.bus.log.read(partition, position, { bytesMax: limits.logBytesMax, signal });
    for await (const batch of batches) {
      for (let done = 0; done < batch.length && !signal.aborted;) {
        done = await this.#applyFrom(batch, done);
        if (this.#stopped !== null) return;
      }
      if (signal.aborted) return;
    }
  }

  /** Applies messages for about `applyMsMax`, hands the records over and lets others run. Returns the next message's place. */
  async #applyFrom(batch: LogBatch[], first: number): Promise<number> {
    const { clock, pause } = this.#ports;
    const startedAt = clock.now();
    const records: OutRecord[] = [];
    let next = first;
    const causes: Headers[] = [];
    for (; next < batch.length && this.#stopped === null; next++) {
      const item = batch[next];
      if (item === undefined || (next > first && clock.now() - startedAt >= this.#options.limits.applyMsMax)) break;
      const ran = await this.#applyOne(item, records.length > 0);
      if (ran === "later") break;
      if (ran === null) continue;
      records.push(ran.record);
      causes.push(ran.headers);
    }
    this.#measure(records, clock.now() - startedAt);
    this.#progress.notify();
    this.#look(next === batch.length);
    if (this.#heard.isDraining) this.#reporter.now();
    else this.#reporter.worked();
    await this.#publisher.add(records, causes);
    await pause();
    return next;
  }

  /** @param isAll  all that was delivered is applied */
  #look(isAll: boolean): void {
    this.#beside.look(isAll && this.#recovered.state.position.n >= this.#tailN);
  }

  /**
   * @param isBehindOthers  others were applied whose records are not handed over yet: they must not go with this one's failure
   * @returns "later" instead of a failure to fetch what it needs; asked again with nothing before it, it throws
   */
  async #applyOne(
    { message, position, headers }: LogBatch,
    isBehindOthers: boolean,
  ): Promise<{ record: OutRecord; headers: Headers } | "later" | null> {
    const { state, engine } = this.#recovered;
    const { bus, telemetry } = this.#ports;
    const refusal = refusalOf(state, message);
    if (refusal !== null) {
      this.#stop(new IoError(refusal, "never"));
      return null;
    }
    let needs: Needs;
    try {
      needs = await needsOf(bus, state, message);
    } catch (error) {
      if (isBehindOthers && isIoError(error)) return "later";
      throw error;
    }
    const attributes = { partition: state.partition, n: message.n, flush: message.flush };
    const span = spanOf(telemetry, "apply", { kind: "consumer", parent: headers, attributes });
    let applied: Applied | null;
    try {
      applied = applyMessage(state, message, position, engine, needs.genesis, needs.handOvers);
    } catch (error) {
      span.end(error);
      throw error;
    }
    span.end();
    if (applied === null) return null;
    this.#beside.applied(message, applied, span.headers());
    if (applied.record.block !== null) this.#blockClosed();
    const snapshot = state.rules.snapshotsAreExact ? applied.snapshot : this.#lateSnapshot; // Rule snapshotsAreExact
    if (snapshot !== null) this.#snapshotter.begin(snapshot.block, snapshot.lattice);
    this.#lateSnapshot = applied.snapshot;
    return { record: applied.record, headers: span.headers() };
  }

  #blockClosed(): void {
    this.#memory = this.#recovered.engine.memory();
    this.#memoryWatch.observe(this.#memory.bytes);
  }

  #measure(records: OutRecord[], ms: number): void {
    const counts = records.flatMap(({ transactions, settled }) => [transactions, ...settled.map((run) => run.transactions)]);
    const transactions = counts.reduce((sum, packed) => sum + txCount(packed), 0);
    this.#transactions += transactions;
    this.#busyMs += ms;
    if (records.length === 0) return;
    this.#metrics.batchMessages(records.length);
    this.#metrics.batchTransactions(transactions);
    this.#metrics.transactions(transactions);
    this.#metrics.applyMs(ms);
  }

  /** @throws IoError PASSED: another process of this partition is that far ahead, and its host starts this one from there (L4) */
  async #stopUnlessPassed(error: unknown): Promise<void> {
    const { bus } = this.#ports;
    const { partition } = this.#options;
    const { state, useless } = this.#recovered;
    if (maySayPassed(error)) {
      await throwIfPassed({ bus, snapshots: openSnapshots(bus, partition) }, partition, state.position.n, useless);
    }
    this.#stop(error);
  }

  #stop(error: unknown): void {
    const { partition } = this.#options;
    this.#stopped = error instanceof Error ? error.message : String(error);
    this.#ports.telemetry.log.error(
      { partition, n: this.#recovered.state.position.n, error },
      "The partition stops for good: its log cannot be gone on with",
    );
    this.#progress.notify();
    this.#reporter.worked();
  }

  /** Something beside the log met a bug: the actor ends as if the log had. */
  #fail(error: unknown): void {
    if (this.#ended.signal.aborted) return; // What ends with the actor may find the engine closed.
    this.#failure ??= { error };
    this.#ended.abort();
  }

  #hear(payload: Uint8Array): void {
    const beat = decodeBeat(payload);
    if (beat.term < this.#heard.term) return; // A deposed leader's last words.
    for (const [partition, n] of beat.positions) if (partition === this.#options.partition) this.#logN = n;
    this.#beside.hear(beat);
    const begins = beat.draining && !this.#heard.isDraining;
    this.#heard = { term: beat.term, isDraining: beat.draining };
    if (begins) this.#reporter.now();
  }

  #observe(): Observed {
    const { bytes, accounts, slots } = this.#memory;
    const lag = Math.max(0, this.#logN - this.#recovered.state.position.n);
    return {
      lag,
      memoryBytes: bytes,
      accounts,
      slots,
      waitingReads: this.#reads.running,
      outBytes: this.#publisher.waitingBytes,
      waitingEntries: this.#recovered.state.open.entries.size,
    };
  }

  #report(): Report {
    const { partition, host, memoryBytesMax } = this.#options;
    const { position, closedBlock } = this.#recovered.state;
    const { bytes, accounts, slots } = this.#memory;
    return {
      partition,
      host,
      n: position.n,
      flush: position.flush,
      closedBlock: Math.max(0, closedBlock),
      memoryBytes: bytes,
      memoryBytesMax,
      accounts,
      slots,
      transactions: this.#transactions,
      busyMs: this.#busyMs + this.#beside.busyMs,
      stopped: this.#stopped,
      outFull: this.#publisher.isFull,
      ...this.#beside.report(),
    };
  }
}
