/** A chain for tests: begins it, writes its log like a scheduler, and sees what partitions make of it. Works on any bus. */
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { SUBJECT, decodeReadReply, decodeReport, encodeReadRequest } from "@meridian/bus";
import { assert, evenRangeMap, noTelemetry } from "@meridian/core";
import type {
  Bus,
  Entry,
  LogWriter,
  Logger,
  MovedRange,
  OutRecord,
  PartitionId,
  ReadReply,
  ReadRequest,
  Report,
} from "@meridian/core";
import { TEST_CHAIN_ID, blockEntry, genesisEntry, sealEntry } from "@meridian/core/actor/testing";

/** Polls until `check` gives something; fails the test after `msMax`. */
export async function until<T>(what: string, check: () => T | Promise<T>, msMax = 10_000): Promise<NonNullable<T>> {
  const endsAt = performance.now() + msMax;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== null && found !== false) return found;
    assert(performance.now() < endsAt, `${what} did not happen within ${msMax} ms`);
    await delay(2);
  }
}

export class TestChain {
  readonly bus: Bus;
  readonly partitions: PartitionId[];
  #writer: LogWriter | null;
  /** Everything in OUT, by partition, in stream order. */
  readonly out = new Map<PartitionId, OutRecord[]>();
  /** Everything appended, in order. */
  readonly flushes: Record<PartitionId, Entry[]>[] = [];
  readonly reports = new Map<PartitionId, Report>();
  #block = 1;
  readonly #ended = new AbortController();
  readonly #collecting: Promise<void>;

  private constructor(bus: Bus, partitions: PartitionId[], writer: LogWriter | null) {
    this.bus = bus;
    this.partitions = partitions;
    this.#writer = writer;
    bus.wire.subscribe(SUBJECT.reports, ({ payload }) => {
      const report = decodeReport(payload);
      this.reports.set(report.partition, report);
    });
    this.#collecting = this.#collect();
  }

  /** Begins a chain of `count` partitions with the given genesis cells, and takes over its log. */
  static async begin(bus: Bus, count: number, genesis: Uint8Array = new Uint8Array(0)): Promise<TestChain> {
    const hash = new Uint8Array(createHash("sha256").update(genesis).digest());
    await bus.objects.put("genesis", genesis);
    const genesisHash = Buffer.from(hash).toString("hex");
    await bus.settings.create({ chainId: TEST_CHAIN_ID, blockMs: 500, blockGasLimit: 1_000_000_000, genesisHash });
    const partitions = Array.from({ length: count }, (_, partition) => partition);
    await bus.log.begin(partitions.map((partition) => ({ partition, entries: [genesisEntry(evenRangeMap(count), hash)] })));
    const taken = await bus.log.takeOver("test", partitions);
    assert("writer" in taken, "nobody else takes over in a test");
    return new TestChain(bus, partitions, taken.writer);
  }

  /** Sees what partitions make of a chain that somebody else writes. */
  static follow(bus: Bus, count: number): TestChain {
    const partitions = Array.from({ length: count }, (_, partition) => partition);
    return new TestChain(bus, partitions, null);
  }

  get writer(): LogWriter {
    assert(this.#writer !== null, "this chain is only followed");
    return this.#writer;
  }

  /** Number of the open block. */
  get nextBlock(): number {
    return this.#block;
  }

  /** One flush; entries by partition. */
  async append(entries: Record<PartitionId, Entry[]>, headers: Record<string, string> = {}): Promise<void> {
    const messages = Object.entries(entries).map(([partition, list]) => ({ partition: Number(partition), entries: list }));
    const { outcome } = await this.writer.append(this.writer.flush + 1, messages, headers);
    this.flushes.push(entries);
    assert(outcome === "appended", `append ended ${outcome}`);
  }

  /** Another leader takes over: `term` stands in every log. */
  async takeOver(leader: string): Promise<void> {
    const taken = await this.bus.log.takeOver(leader, this.partitions);
    assert("writer" in taken, "nobody else takes over in a test");
    this.#writer = taken.writer;
  }

  /** Closes the open block in every log; seals the one before. Returns its number. */
  async closeBlock(snapshot = false, moves: MovedRange[] = []): Promise<number> {
    const number = this.#block++;
    const { partitions } = this;
    const entries = [sealEntry(number - 1), blockEntry(number, { snapshot, partitions, mapVersion: 1, moves })];
    await this.append(Object.fromEntries(partitions.map((partition) => [partition, entries])));
    return number;
  }

  /** Waits until OUT has everything that the log has; records by partition. */
  async settled(partition: PartitionId = 0): Promise<OutRecord[]> {
    const { n } = this.writer.position(partition);
    await until(`message ${n} of partition ${partition} in OUT`, () => (this.out.get(partition)?.at(-1)?.n ?? 0) >= n);
    return this.out.get(partition) ?? [];
  }

  async read(partition: PartitionId, request: ReadRequest): Promise<ReadReply> {
    const payload = encodeReadRequest(request);
    return decodeReadReply(await this.bus.wire.request(SUBJECT.read(partition), payload, { timeoutMs: 10_000 }));
  }

  /** To be called before its bus is closed. */
  async end(): Promise<void> {
    this.#ended.abort();
    await this.#collecting;
  }

  async #collect(): Promise<void> {
    for await (const batch of this.bus.out.read(0, { bytesMax: 1 << 20, signal: this.#ended.signal })) {
      for (const { partition, records } of batch) this.out.set(partition, [...(this.out.get(partition) ?? []), ...records]);
    }
  }
}

/** Telemetry that keeps log lines as "level text". */
export function recordingTelemetry(lines: string[]) {
  const line = (level: string) => (_facts: Record<string, unknown>, text: string) => void lines.push(`${level} ${text}`);
  const log: Logger = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
  return noTelemetry(log);
}

/** Lattices of the closed blocks, as hex, by block number. */
export function lattices(records: OutRecord[]): Map<number, string> {
  return new Map(
    records.flatMap(({ block, genesis }): [number, string][] => {
      if (genesis !== null) return [[0, Buffer.from(genesis.lattice).toString("hex")]];
      return block === null ? [] : [[block.entry.number, Buffer.from(block.lattice).toString("hex")]];
    }),
  );
}
