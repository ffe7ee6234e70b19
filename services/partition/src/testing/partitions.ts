/** Partitions with fake engines on one server in memory, and a scheduler that does what a test says. */
import { SUBJECT, decodeGroupProposal, decodeMisses, decodeReport, encodeBeat, memoryServer } from "@meridian/bus";
import type { MemoryBus, MemoryServer } from "@meridian/bus";
import {
  ALL_RULES,
  PENDING,
  TX,
  WHY,
  assert,
  concatBytes,
  hexOf,
  touchBytes,
  touchIndex,
  touchWhy,
  txGasLimit,
  txRaw,
  writeU32,
} from "@meridian/core";
import type {
  Beat,
  Bus,
  CallRequest,
  Clock,
  Entry,
  GroupProposal,
  Misses,
  PartitionId,
  Position,
  Report,
  Rules,
  Telemetry,
} from "@meridian/core";
import {
  FakeEngine,
  accountList,
  addressOf,
  applyEntry,
  fakeSlotKey,
  groupEntry,
  lockEntry,
  slotOf,
  toy,
  toyTransaction,
} from "@meridian/core/actor/testing";
import { systemClock } from "@meridian/process";
import { runPartition } from "../run.ts";
import type { Actor, ActorLimits } from "../run.ts";
import { TestChain, recordingTelemetry, until } from "./chain.ts";

/** Short times, so that what is repeated shows soon. */
const LIMITS: Partial<ActorLimits> = {
  grantMs: 100,
  grantWaitMs: 60,
  grantPauseMsMin: 2,
  grantPauseMsMax: 10,
  proposalRepeatMs: 15,
  missRepeatMs: 15,
};

/** A call of the toy program that stands in a record. */
export function toyCall(record: Uint8Array, at: number, given: Uint8Array): CallRequest {
  return {
    from: record.slice(at + TX.sender, at + TX.sender + 20),
    to: record.slice(at + TX.to, at + TX.to + 20),
    data: txRaw(record, at),
    value: new Uint8Array(32),
    gasLimit: txGasLimit(record, at),
    accessList: new Uint8Array(0),
    given,
    traced: true,
  };
}

/** A transaction of sender 01 with a toy program; `declared` as "w 11". Its nonce is not its first. */
export const member = (index: number, program: string, declared: string[], sender = "01"): Uint8Array =>
  toyTransaction({ index, sender, nonce: 1 + index, to: "11", declared, program: toy(program) });

export interface StartOptions {
  telemetry?: Telemetry;
  rules?: Readonly<Rules>;
  engine?: () => FakeEngine;
  clock?: Clock;
  /** What the partition sees of its bus. */
  seen?: (bus: Bus) => Bus;
}

export class TestPartitions {
  readonly server: MemoryServer;
  readonly chain: TestChain;
  readonly proposals: GroupProposal[] = [];
  readonly misses: Misses[] = [];
  readonly reports: Report[] = [];
  readonly lines: string[] = [];
  readonly #running = new Map<PartitionId, { actor: Actor; bus: MemoryBus }>();

  private constructor(server: MemoryServer, chain: TestChain) {
    this.server = server;
    this.chain = chain;
    const { wire } = chain.bus;
    wire.subscribe(SUBJECT.proposal, ({ payload }) => void this.proposals.push(decodeGroupProposal(payload)));
    wire.subscribe(SUBJECT.misses, ({ payload }) => void this.misses.push(decodeMisses(payload)));
    wire.subscribe(SUBJECT.reports, ({ payload }) => void this.reports.push(decodeReport(payload)));
  }

  /** A chain of two partitions, "0…" to "7…" and "8…" to "f…"; none of them runs yet. */
  static async begin(genesis: Uint8Array[] = []): Promise<TestPartitions> {
    const server = memoryServer();
    return new TestPartitions(server, await TestChain.begin(server.connect(), 2, concatBytes(genesis)));
  }

  async start(partition: PartitionId, limits: Partial<ActorLimits> = {}, other: StartOptions = {}): Promise<Actor> {
    const bus = this.server.connect();
    const {
      telemetry = recordingTelemetry(this.lines),
      rules = ALL_RULES,
      engine = () => new FakeEngine(),
      seen = (all) => all,
      clock = systemClock,
    } = other;
    const engines = { open: engine };
    const options = { partition, host: "host", memoryBytesMax: 1 << 30, limits: { ...LIMITS, ...limits }, rules };
    const actor = await runPartition({ bus: seen(bus), engines, telemetry, clock, callOf: toyCall }, options);
    this.#running.set(partition, { actor, bus });
    return actor;
  }

  async stop(partition: PartitionId): Promise<void> {
    const running = this.#running.get(partition);
    this.#running.delete(partition);
    await running?.actor.stop();
    await running?.bus.close();
  }

  /** The bus of a running partition. */
  busOf(partition: PartitionId): MemoryBus {
    const running = this.#running.get(partition);
    assert(running !== undefined, `partition ${partition} does not run`);
    return running.bus;
  }

  async end(): Promise<void> {
    for (const partition of [...this.#running.keys()]) await this.stop(partition);
    await this.chain.end();
    await this.chain.bus.close();
  }

  /**
   * Appends a group at home on partition 0 as the next flush; its members are to be indexed from 1.
   * @param accounts as "w 11"; those from 8 on are locked on partition 1
   */
  async appendGroup(records: Uint8Array[], accounts: string[], headers: Record<string, string> = {}): Promise<Position> {
    const locked = accounts.filter((account) => account.slice(2) >= "80" && !account.startsWith("c"));
    const participants = locked.length > 0 ? [0, 1] : [0];
    const entries: Record<PartitionId, Entry[]> = { 0: [groupEntry(0, participants, records, accounts)] };
    if (locked.length > 0) entries[1] = [lockEntry(0, 0, locked)];
    await this.chain.append(entries, headers);
    return { flush: this.chain.writer.flush, index: 0 };
  }

  /** The same over the whole system. */
  async appendWhole(records: Uint8Array[]): Promise<Position> {
    const group: Entry = { ...groupEntry(0, [0, 1], records, []), whole: true };
    await this.chain.append({ 0: [group], 1: [{ ...lockEntry(0, 0, []), whole: true }] });
    return { flush: this.chain.writer.flush, index: 0 };
  }

  /** The first proposal for a group. */
  proposal({ flush }: Position): Promise<GroupProposal> {
    return until(`a proposal for the group of flush ${flush}`, () => this.proposals.find(({ group }) => group.flush === flush));
  }

  /** Appends the `apply` of a proposal to both logs. */
  async appendApply({ group, results, touches, writes }: GroupProposal): Promise<void> {
    const misses = concatBytes(missesOf(touches).map(packed));
    const writesOf = (owner: PartitionId) => writes.find(([partition]) => partition === owner)?.[1] ?? new Uint8Array(0);
    await this.chain.append({
      0: [applyEntry(0, group, { writes: writesOf(0), results, misses })],
      1: [applyEntry(0, group, { writes: writesOf(1) })],
    });
  }

  /** Slot 0 of an account at present, from its owner. */
  async slot(account: string, partition: PartitionId = account >= "80" ? 1 : 0): Promise<number> {
    const { n } = this.chain.writer.position(partition);
    const request = fakeSlotKey(addressOf(account));
    const reply = await this.chain.read(partition, { op: "cells", block: PENDING, atN: n, request });
    assert(reply.op === "cells", `no cells but ${JSON.stringify(reply)}`);
    return slotOf(reply.cells);
  }

  beat(fields: Partial<Beat> = {}): void {
    const { nextBlock } = this.chain;
    const beat: Beat = {
      term: 1,
      leader: "test",
      flush: this.chain.writer.flush,
      latest: { number: 0, hash: new Uint8Array(32), timestamp: 0 },
      open: { number: nextBlock, timestamp: 0 },
      draining: false,
      missesTaken: [],
      mapVersion: 1,
      positions: [],
      ...fields,
    };
    this.chain.bus.wire.publish(SUBJECT.beat, encodeBeat(beat));
  }
}

/** Indexes of the members that missed. */
export function missesOf(touches: Uint8Array): number[] {
  const missed: number[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    if (touchWhy(touches, at) !== WHY.complete) missed.push(touchIndex(touches, at));
  }
  return missed;
}

/** Reasons of the members, by name. */
export function whysOf(touches: Uint8Array): string[] {
  const names = Object.entries(WHY);
  const whys: string[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    whys.push(names.find(([, code]) => code === touchWhy(touches, at))?.[0] ?? "unknown");
  }
  return whys;
}

/** Packed (mode, address)* as text: "w 11, r f1". */
export function accountsText(packedAccounts: Uint8Array): string {
  const texts: string[] = [];
  for (let at = 0; at < packedAccounts.length; at += 21) {
    const known = ["w", "r", "c"].find((mode) => accountList([`${mode} 11`])[0] === packedAccounts[at]);
    texts.push(`${known ?? "?"} ${hexOf(packedAccounts, at + 1, at + 2)}`);
  }
  return texts.join(", ");
}

function packed(number: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, number);
  return bytes;
}
