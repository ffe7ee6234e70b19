/** A chain in memory and archives on it, for tests. The partitions and the scheduler are played by the test. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { decodeArchiveReply, decodeBuilt, encodeArchiveQuery, encodeBeat, memoryServer, SUBJECT } from "@meridian/bus";
import { assert, noTelemetry } from "@meridian/core";
import type { ArchiveQuery, ArchiveReply, AssembledBlock, Beat, Bus, Built, OutRecord, Telemetry } from "@meridian/core";
import { fakeBlockEngine, numbersFrom, testBlocks, testFlushes, testRecords } from "@meridian/core/blocks/testing";
import type { TestChainOptions, TestFlush } from "@meridian/core/blocks/testing";
import { systemClock } from "@meridian/process";
import { openArchive } from "@meridian/store";
import type { ArchiveStore } from "@meridian/store";
import { runArchive } from "../src/run.ts";
import type { ArchiveEngine, ArchiveOptions, RunningArchive } from "../src/run.ts";

export const PARTITIONS = 3;

export interface TestArchive {
  name: string;
  running: RunningArchive;
  store: ArchiveStore;
  bus: Bus;
  /** Stops it; its folder stays. */
  stop(): Promise<void>;
}

export interface StartOptions extends Partial<ArchiveOptions> {
  engine?: ArchiveEngine;
  telemetry?: Telemetry;
  /** Takes the place of what the archive would get. */
  wrapBus?: (bus: Bus) => Bus;
  wrapStore?: (store: ArchiveStore) => ArchiveStore;
}

export class Rig {
  readonly server = memoryServer();
  readonly bus = this.server.connect();
  readonly chain: TestChainOptions;
  readonly flushes: TestFlush[];
  readonly records: OutRecord[][];
  readonly built: Built[] = [];
  readonly folder: string;
  readonly #archives = new Set<TestArchive>();
  #published = Array.from({ length: PARTITIONS }, () => 0);
  #cachedBlocks: AssembledBlock[] | null = null;
  #term = 1;

  private constructor(chain: TestChainOptions, folder: string) {
    this.chain = chain;
    this.folder = folder;
    this.flushes = testFlushes(chain);
    this.records = testRecords(this.flushes, PARTITIONS, chain);
    this.bus.wire.subscribe(SUBJECT.built, ({ payload }) => this.built.push(decodeBuilt(payload)));
  }

  static async open(chain: TestChainOptions): Promise<Rig> {
    const rig = new Rig(chain, await mkdtemp(join(tmpdir(), "meridian.archive-")));
    await rig.bus.settings.create({ chainId: 1, blockMs: 500, blockGasLimit: 30_000_000, genesisHash: "ab".repeat(32) });
    return rig;
  }

  /** The blocks as they must come out. */
  get blocks(): AssembledBlock[] {
    this.#cachedBlocks ??= testBlocks(this.chain, PARTITIONS);
    return this.#cachedBlocks;
  }

  start(name: string, options: StartOptions = {}): TestArchive {
    const { engine = fakeBlockEngine(), telemetry = noTelemetry(), wrapBus, wrapStore, limits, ...rest } = options;
    const store = openArchive(join(this.folder, name));
    const bus = this.server.connect();
    const ports = {
      ...{ engine, telemetry, clock: systemClock, pause: () => setImmediate() },
      bus: wrapBus?.(bus) ?? bus,
      store: wrapStore?.(store) ?? store,
    };
    const running = runArchive(ports, {
      ...{ instance: name, retentionBlocks: 0, snapshotBlocks: 1_000_000, ...rest },
      limits: { joinMs: 0, snapshotJitterMs: 0, retryMsMin: 5, retryMsMax: 20, sayAgainMs: 0, ...limits },
    });
    const archive: TestArchive = {
      ...{ name, running, store, bus },
      stop: async () => {
        this.#archives.delete(archive);
        await running.stop();
        await store.close();
      },
    };
    this.#archives.add(archive);
    return archive;
  }

  /** Publishes what belongs to blocks up to `block`, the partitions in random turns, a few records a message. */
  async publish(block: number, without: (record: OutRecord, partition: number) => boolean = () => false): Promise<void> {
    const next = numbersFrom(block + 17);
    const ends = this.records.map((list) => list.findIndex((record) => closes(record) === block) + 1);
    for (;;) {
      const open = ends.flatMap((end, partition) => (this.#published[partition]! < end ? [partition] : []));
      const partition = open[next(Math.max(1, open.length))];
      if (partition === undefined) return;
      const from = this.#published[partition]!;
      const to = Math.min(ends[partition]!, from + 1 + next(3));
      this.#published[partition] = to;
      const part = this.records[partition]!.slice(from, to).filter((record) => !without(record, partition));
      await this.bus.out.publish(partition, part, { traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01` });
    }
  }

  /** Publishes records of one partition that are not in the chain's order of things. */
  publishOf(partition: number, count: number): Promise<void> {
    const from = this.#published[partition]!;
    this.#published[partition] = from + count;
    return this.bus.out.publish(partition, this.records[partition]!.slice(from, from + count));
  }

  /** The leader's beat: `latest` is sealed. */
  beat(latest: number, hash: Uint8Array = this.blocks[latest]!.hash): void {
    const beat: Beat = {
      ...{ term: this.#term, leader: "test", flush: 1, mapVersion: 1, draining: false, missesTaken: [] },
      latest: { number: latest, hash, timestamp: this.blocks[latest]!.timestamp },
      open: { number: latest + 1, timestamp: 0 },
      positions: this.#published.map((n, partition) => [partition, n]),
    };
    this.bus.wire.publish(SUBJECT.beat, encodeBeat(beat));
  }

  /** Asks whichever archive has its turn. */
  async ask<Q extends ArchiveQuery>(query: Q): Promise<ArchiveReply> {
    return decodeArchiveReply(await this.bus.wire.request(SUBJECT.archiveQuery, encodeArchiveQuery(query), { timeoutMs: 5_000 }));
  }

  async close(): Promise<void> {
    for (const archive of this.#archives) await archive.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

const closes = (record: OutRecord): number | null => record.block?.entry.number ?? (record.genesis === null ? null : 0);

/** Waits, with a bound, until `isTrue`. */
export async function until(isTrue: () => boolean, msMax = 10_000): Promise<void> {
  const deadlineAt = performance.now() + msMax;
  while (!isTrue() && performance.now() < deadlineAt) await sleep(2);
  assert(isTrue(), `not within ${msMax} ms: ${isTrue.toString()}`);
}
