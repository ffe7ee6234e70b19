/** Groups over two partitions with the real engine on a bus in memory; every build that is there runs the same tests. */
import type { Hex } from "viem";
import { afterEach, describe, expect, test } from "vitest";
import { SUBJECT, decodeGroupProposal, decodeMisses, memoryServer } from "@meridian/bus";
import type { MemoryServer } from "@meridian/bus";
import {
  DECLARED_BYTES,
  MODE,
  TOUCH,
  TX,
  TX_HEADER_BYTES,
  assert,
  concatBytes,
  evenRangeMap,
  hexOf,
  indexRanges,
  resultBytes,
  resultStatus,
  touchAccounts,
  txDeclared,
  txRaw,
  unionModes,
  writeU16,
  writeU32,
} from "@meridian/core";
import type { CallRequest, EngineModule, GroupProposal, MissedTransaction, PartitionId, ReadReply } from "@meridian/core";
import { applyEntry } from "@meridian/core/actor/testing";
import { loadEngine } from "@meridian/engine";
import { runPartition } from "../src/run.ts";
import { TestChain, lattices, recordingTelemetry, until } from "../src/testing/chain.ts";
import { accountsText, whysOf } from "../src/testing/partitions.ts";
import { CONTRACT, Signer, listOf, route } from "../src/testing/transactions.ts";

const open: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

const owners = indexRanges(evenRangeMap(2));

class World {
  readonly engines: EngineModule;
  readonly server: MemoryServer;
  readonly chain: TestChain;
  readonly missed: MissedTransaction[] = [];
  readonly proposals: GroupProposal[] = [];

  private constructor(engines: EngineModule, server: MemoryServer, chain: TestChain) {
    this.engines = engines;
    this.server = server;
    this.chain = chain;
    chain.bus.wire.subscribe(SUBJECT.misses, ({ payload }) => {
      const { first, missed } = decodeMisses(payload);
      missed.forEach((one, offset) => (this.missed[first + offset] = one));
    });
    chain.bus.wire.subscribe(SUBJECT.proposal, ({ payload }) => void this.proposals.push(decodeGroupProposal(payload)));
  }

  static async begin(engines: EngineModule): Promise<World> {
    const server = memoryServer();
    const bus = server.connect();
    const chain = await TestChain.begin(bus, 2);
    open.push(async () => {
      await chain.end();
      await bus.close();
    });
    const world = new World(engines, server, chain);
    await Promise.all([world.start(0), world.start(1)]);
    return world;
  }

  async start(partition: PartitionId, server = this.server): Promise<void> {
    const bus = server.connect();
    const ports = { bus, engines: this.engines, telemetry: recordingTelemetry([]) };
    const actor = await runPartition(ports, {
      partition,
      host: "host",
      memoryBytesMax: 1 << 30,
      limits: { missTraceMs: 10_000 }, // The first call of a WebAssembly engine starts its thread.
    });
    open.push(async () => {
      await actor.stop();
      await bus.close();
    });
  }

  /** Deploys a contract on a partition; returns its address. */
  async deploy(partition: PartitionId, code: Hex, gas = 1_000_000n): Promise<Uint8Array> {
    for (let number = 100 * (this.chain.writer.flush + 1); ; number++) {
      const signer = new Signer(number);
      const address = signer.nextContract();
      if (owners.ownerOf(address, 0) !== partition) continue;
      await this.chain.append(route(this.engines, [await signer.sign({ data: code, gas })], owners));
      return address;
    }
  }

  /** Sequences missed transactions again, as a group at home on partition 0. */
  async appendGroup(missed: MissedTransaction[]): Promise<GroupProposal> {
    const members = missed.map(({ record, touch }, place) => declaring(record, touchAccounts(touch, 0), 1 + place));
    const accounts = members.map(declaredOf).reduce(unionModes, new Uint8Array(0));
    const locked = accountsIn(accounts).filter((account) => account[0] !== MODE.code && owners.ownerOf(account, 1) === 1);
    const participants = locked.length > 0 ? [0, 1] : [0];
    const transactions = concatBytes(members);
    const lock = { kind: "lock", index: 0, home: 0, accounts: concatBytes(locked), whole: false } as const;
    await this.chain.append({
      0: [{ kind: "group", index: 0, participants, accounts, whole: false, transactions }],
      ...(locked.length > 0 ? { 1: [lock] } : {}),
    });
    const { flush } = this.chain.writer;
    return until("the proposal", () => this.proposals.find(({ group }) => group.flush === flush));
  }

  async appendApply({ group, results, writes }: GroupProposal, missed: number[] = []): Promise<void> {
    const of = (owner: PartitionId) => writes.find(([partition]) => partition === owner)?.[1] ?? new Uint8Array(0);
    await this.chain.append({
      0: [applyEntry(0, group, { writes: of(0), results, misses: new Uint8Array(Uint32Array.from(missed).buffer) })],
      1: [applyEntry(0, group, { writes: of(1) })],
    });
  }

  /** What the contract has counted. */
  async count(to: Uint8Array): Promise<number | string> {
    const partition = owners.ownerOf(to, 0);
    const { n } = this.chain.writer.position(partition);
    const reply = await this.chain.read(partition, { op: "call", block: -1, atN: n, call: callOf(to) });
    return countOf(reply);
  }
}

const callOf = (to: Uint8Array): CallRequest => ({
  from: new Uint8Array(20).fill(1),
  to,
  data: new Uint8Array(64).fill(1),
  value: new Uint8Array(32),
  gasLimit: 1_000_000,
  accessList: new Uint8Array(0),
  given: new Uint8Array(0),
  traced: false,
});

function countOf(reply: ReadReply): number | string {
  if (reply.op === "failed") return reply.failure.code;
  if (reply.op !== "call" || reply.result.status !== "success") return "no success";
  return Buffer.from(reply.result.output).readUInt32BE(28);
}

const declaredOf = (record: Uint8Array): Uint8Array =>
  record.slice(TX_HEADER_BYTES, TX_HEADER_BYTES + txDeclared(record, 0) * DECLARED_BYTES);

const accountsIn = (accounts: Uint8Array): Uint8Array[] =>
  Array.from({ length: accounts.length / DECLARED_BYTES }, (_, at) =>
    accounts.subarray(at * DECLARED_BYTES, (at + 1) * DECLARED_BYTES),
  );

/** The record with more declared accounts, at another place of a flush. */
function declaring(record: Uint8Array, accounts: Uint8Array, index: number): Uint8Array {
  const declared = unionModes(declaredOf(record), accounts);
  const again = concatBytes([record.slice(0, TX_HEADER_BYTES), declared, txRaw(record, 0)]);
  writeU32(again, TX.bytes, again.length);
  writeU32(again, TX.index, index);
  writeU16(again, TX.declared, declared.length / DECLARED_BYTES);
  writeU32(again, TX.rawOffset, TX_HEADER_BYTES + declared.length);
  again[TX.attempt] = 1;
  return again;
}

const NO_TOUCH = new Uint8Array(TOUCH.accounts);
writeU32(NO_TOUCH, TOUCH.bytes, NO_TOUCH.length);

const padded = (address: Uint8Array): `0x${string}` => `0x${"00".repeat(12)}${hexOf(address)}`;

/** "w 1a": mode and first byte of an account. */
const shortOf = (mode: string, address: Uint8Array): string => `${mode} ${hexOf(address, 0, 1)}`;
const touchedBy = ({ touch }: MissedTransaction): string[] => accountsText(touchAccounts(touch, 0)).split(", ");

/** WebAssembly is always there; the native build where it was made. */
const builds = [...new Set(["wasm" as const, loadEngine("auto").build])];

describe.each(builds)("%s", (build) => {
  const engines = loadEngine(build);

  test("a contract calls one on another partition: misses, is completed, and commits as a group", async () => {
    const world = await World.begin(engines);
    const { chain } = world;
    const [caller, counter] = [await world.deploy(0, CONTRACT.caller), await world.deploy(1, CONTRACT.counter)];
    const signers = Array.from({ length: 5 }, (_, number) => new Signer(9_000 + number));
    const raws = await Promise.all(signers.map((signer) => signer.sign({ to: caller, data: padded(counter) })));
    await chain.append(route(engines, raws, owners));
    const missed = await until("the misses", () => (world.missed.length === 5 ? world.missed : null));
    for (const one of missed) {
      expect(touchedBy(one)).toEqual(expect.arrayContaining([shortOf("w", caller), shortOf("w", counter)]));
    }
    const proposal = await world.appendGroup(missed);
    expect(whysOf(proposal.touches)).toEqual(Array(5).fill("complete"));
    expect([await world.count(caller), await world.count(counter)]).toEqual([0, 0]);
    await world.appendApply(proposal);
    expect([await world.count(caller), await world.count(counter)]).toEqual([5, 5]);
    await chain.closeBlock();
    const records = [await chain.settled(0), await chain.settled(1)];
    const [run] = records[0]?.at(-2)?.settled ?? [];
    assert(run !== undefined, "the group's members came to an end");
    for (let at = 0; at < run.results.length; at += resultBytes(run.results, at)) expect(resultStatus(run.results, at)).toBe(1);
    // Both start again from their logs alone: the same records.
    const replay = memoryServer();
    for (const [key, value] of world.server.settings) replay.settings.set(key, value);
    for (const [key, value] of world.server.objects) replay.objects.set(key, value);
    for (const subject of ["log.0", "log.1"]) {
      for (let at = 1; ;) {
        const next = world.server.streams.LOG.next(subject, at);
        if (next === undefined) break;
        replay.streams.LOG.plant(next.subject, next.payload, next.headers);
        at = next.sequence + 1;
      }
    }
    const reader = TestChain.follow(replay.connect(), 2);
    open.push(() => reader.end());
    await Promise.all([world.start(0, replay), world.start(1, replay)]);
    for (const partition of [0, 1]) {
      await until("the replay", () => (reader.out.get(partition)?.length ?? 0) >= (records[partition]?.length ?? 0));
      expect(reader.out.get(partition)).toEqual(records[partition]);
      expect(lattices(reader.out.get(partition) ?? []).size).toBe(2);
    }
  });

  test("code of another partition is fetched without a lock there", async () => {
    const world = await World.begin(engines);
    const { chain } = world;
    const [caller, pure] = [await world.deploy(0, CONTRACT.caller), await world.deploy(1, CONTRACT.pure)];
    await chain.closeBlock(); // Only what stood at a block boundary is seen in mode `code`.
    await chain.append(route(engines, [await new Signer(9_001).sign({ to: caller, data: padded(pure) })], owners));
    const missed = await until("the miss", () => (world.missed.length === 1 ? world.missed : null));
    expect(touchedBy(missed[0] ?? expect.fail())).toEqual(expect.arrayContaining([shortOf("w", caller), shortOf("c", pure)]));
    const { n } = chain.writer.position(1);
    const proposal = await world.appendGroup(missed);
    expect(chain.writer.position(1).n).toBe(n);
    expect(whysOf(proposal.touches)).toEqual(["complete"]);
    expect(proposal.writes.map(([owner]) => owner)).toEqual([0]);
    await world.appendApply(proposal);
    expect(await world.count(caller)).toBe(1);
  });

  test("a list on another partition is walked so far in each attempt, and the next one goes on from there", async () => {
    const world = await World.begin(engines);
    const list = await world.deploy(1, listOf(150), 5_000_000n);
    const entries = route(engines, [await new Signer(9_002).sign({ to: list })], owners);
    const run = entries[1]?.find((entry) => entry.kind === "run");
    assert(run?.kind === "run", "the list's call is local there");
    const record = run.transactions;
    const whys: string[] = [];
    for (let attempt = 0; whys.at(-1) !== "complete" && attempt < 4; attempt++) {
      const proposal = await world.appendGroup([{ flush: 0, record, touch: NO_TOUCH }]);
      whys.push(...whysOf(proposal.touches));
      await world.appendApply(proposal, whys.at(-1) === "complete" ? [] : [1]);
    }
    expect(whys).toEqual(["exceeded", "exceeded", "complete"]);
  });
});
