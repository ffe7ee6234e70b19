import { memoryServer } from "@meridian/bus";
import type { Bus, Entry, LogWriter } from "@meridian/core";
import { RULES_VERSION, assert, changeMap, evenRangeMap, sequencerLimits } from "@meridian/core";
import { transferRecord } from "@meridian/core/sequencer/testing";
import { expect, test } from "vitest";
import { learnTerm } from "./learn-term.ts";

const opens = (number: number) => ({ number, timestamp: 1_000 + number, prevrandao: new Uint8Array(32), gasLimit: 30_000_000 });
const hash = (number: number) => new Uint8Array(32).fill(number);
const map = evenRangeMap(2);

async function takeOver(bus: Bus, leader: string): Promise<LogWriter> {
  const taken = await bus.log.takeOver(leader, [0, 1]);
  assert("writer" in taken, "fenced");
  return taken.writer;
}

/** A log of `blocks` blocks with `flushes` flushes of one transaction each, all sealed but the last two; then a new term. */
async function grow(
  bus: Bus,
  blocks: number,
  flushes: number,
  extra: (number: number) => Entry[] = () => [],
): Promise<LogWriter> {
  const genesis: Entry = { kind: "genesis", index: 0, chainId: 1, genesisHash: hash(0), map, opens: opens(1) };
  await bus.log.begin([0, 1].map((partition) => ({ partition, entries: [genesis] })));
  const writer = await takeOver(bus, "old");
  let nonce = 0;
  for (let number = 1; number <= blocks; number++) {
    for (let count = 0; count < flushes; count++) {
      const transactions = transferRecord({ sender: 0, nonce: nonce++, gas: 21_000 });
      await writer.append(writer.flush + 1, [
        { partition: 1, entries: [{ kind: "run", transactions, nonces: new Uint8Array(0) }] },
      ]);
    }
    const seals: Entry[] = number < 3 ? [] : [{ kind: "seal", index: 1, number: number - 3, hash: hash(number - 3) }];
    const mapVersion = 1;
    const block: Entry = {
      kind: "block",
      index: 2,
      number,
      opens: opens(number + 1),
      rules: RULES_VERSION,
      mapVersion,
      partitions: [0, 1],
      snapshot: false,
      moves: [],
    };
    const entries = [...seals, block, ...extra(number)];
    await writer.append(
      writer.flush + 1,
      [0, 1].map((partition) => ({ partition, entries })),
    );
  }
  return takeOver(bus, "new");
}

const learn = (bus: Bus, writer: LogWriter) => learnTerm(bus, writer, sequencerLimits, 0);

test.each<[what: string, blocks: number, flushes: number]>([
  ["no block", 0, 0],
  ["a few", 5, 1],
  ["many, so that only the end is read", 60, 3],
  ["a long one, so that the first look is not enough", 4, 80],
])("learns the same from any log: %s", async (_what, blocks, flushes) => {
  const bus = memoryServer().connect();
  const writer = await grow(bus, blocks, flushes);
  await bus.settings.putMap(map);
  const learned = await learn(bus, writer);
  const sealed = Math.max(0, blocks - 3);
  expect(learned?.blocks.open.number).toBe(blocks + 1);
  expect(learned?.blocks.latest).toEqual({
    number: sealed,
    hash: blocks < 3 ? hash(0) : hash(sealed),
    timestamp: sealed === 0 ? 1_001 : 1_000 + sealed,
  });
  expect(learned?.blocks.unsealed.at(-1)?.number).toBe(blocks);
  expect(learned?.map).toEqual(map);
  expect(learned?.flush).toBe(writer.flush);
  expect(learned?.positions.map(([, n]) => n)).toEqual([writer.position(0).n, writer.position(1).n]);
});

test("a log whose beginning is gone is enough, as long as a seal is in it", async () => {
  const bus = memoryServer().connect();
  const writer = await grow(bus, 12, 1);
  await bus.settings.putMap(map);
  await bus.log.truncate(0, 8);
  await bus.log.truncate(1, 16);
  expect((await learn(bus, writer))?.blocks.latest.number).toBe(9);
});

test("a log that was cut behind its last seal stops the leader", async () => {
  const bus = memoryServer().connect();
  const writer = await grow(bus, 12, 0);
  await bus.log.truncate(0, writer.position(0).n - 1);
  await expect(learn(bus, writer)).rejects.toMatchObject({ detail: { code: "LOG_TOO_SHORT", partition: 0 } });
});

test("the map is found in the log where the published copy is older", async () => {
  const bus = memoryServer().connect();
  const next = changeMap(map, { kind: "pin", address: "11".repeat(20), partition: 1 });
  const writer = await grow(bus, 3, 20, (number) => (number === 3 ? [{ kind: "map", index: 3, map: next, handOvers: [] }] : []));
  await bus.settings.putMap(map);
  expect((await learn(bus, writer))?.map).toEqual(next);
});

test("without the map of the last block nobody leads", async () => {
  const bus = memoryServer().connect();
  const writer = await grow(bus, 40, 0);
  await bus.log.truncate(0, 20);
  await expect(learn(bus, writer)).rejects.toMatchObject({ retry: "never" });
  await bus.settings.putMap(map);
  expect((await learn(bus, writer))?.map).toEqual(map);
});

test("who was overtaken meanwhile does not lead", async () => {
  const bus = memoryServer().connect();
  const writer = await grow(bus, 3, 1);
  await takeOver(bus, "faster");
  expect(await learn(bus, writer)).toBeUndefined();
});

test("rules that this code does not know stop the leader", async () => {
  const bus = memoryServer().connect();
  const writer = await grow(bus, 1, 0);
  const block: Entry = {
    kind: "block",
    index: 0,
    number: 2,
    opens: opens(3),
    rules: 99,
    mapVersion: 1,
    partitions: [0, 1],
    snapshot: false,
    moves: [],
  };
  await writer.append(
    writer.flush + 1,
    [0, 1].map((partition) => ({ partition, entries: [block] })),
  );
  await expect(learn(bus, writer)).rejects.toMatchObject({ detail: { code: "RULES_UNKNOWN", rules: 99, known: 2 } });
});
