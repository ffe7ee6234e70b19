import { expect, test } from "vitest";
import type { Entry, LogMessage } from "../entries.ts";
import { evenRangeMap } from "../ranges.ts";
import { txCount } from "../transactions.ts";
import { applyMessage } from "./apply.ts";
import type { Applied } from "./apply.ts";
import { refusalOf } from "./refusal.ts";
import { emptyState, manifestOf, sealedBlock, stateOfManifest } from "./state.ts";
import {
  FakeEngine,
  TEST_CHAIN_ID,
  addressOf,
  blockEntry,
  fakeSlotCell,
  genesisEntry,
  logMessage,
  opensBlock,
  runEntry,
  sealEntry,
} from "./testing/index.ts";

const term = (number: number): Entry => ({ kind: "term", index: 0, term: number, leader: "one" });
const map = (version: number): Entry => ({ kind: "map", index: 1_001, map: { ...evenRangeMap(1), version }, handOvers: [] });
const run = (...accounts: string[]): Entry => runEntry(accounts);

/** Applies the messages (each a list of entries) until one is refused; what the engine did and what came out, as texts. */
function check(log: Entry[][], want: { engine: string[]; out: string[] }): void {
  const state = emptyState(0, TEST_CHAIN_ID);
  const engine = new FakeEngine();
  const out: string[] = [];
  for (const [index, entries] of log.entries()) {
    const { message, position } = logMessage(index + 1, entries);
    const refusal = refusalOf(state, message);
    if (refusal !== null) {
      const { code, n, ...facts } = refusal;
      out.push(`${n} refused ${code} ${Object.values(facts).join(" ")}`);
      break;
    }
    const applied = applyMessage(state, message, position, engine, new Uint8Array(0));
    expect(applied?.record.n).toBe(message.n);
    expect(state.position).toEqual(position);
    if (applied !== null) out.push(describe(applied));
  }
  expect({ engine: engine.calls, out }).toEqual(want);
}

function describe({ record, snapshot }: Applied): string {
  const parts = [String(record.n)];
  if (record.genesis !== null) parts.push(`genesis lattice ${record.genesis.lattice.length}`);
  if (record.transactions.length > 0)
    parts.push(`${txCount(record.transactions)} transactions ${record.results.length / 64} results`);
  if (record.block !== null) parts.push(`block ${record.block.entry.number} in ${record.block.context.number}`);
  if (record.map !== null) parts.push(`map ${record.map.version}`);
  if (snapshot !== null) parts.push(`snapshot ${snapshot.block}`);
  return parts.join(" ");
}

const START = ["own 1", "open 0", "import 0", "close 0", "open 1"];

test.each<[what: string, log: Entry[][], engine: string[], out: string[]]>([
  ["genesis closes block 0 and opens block 1", [[genesisEntry()]], [], ["1 genesis lattice 2048"]],
  ["a term does nothing", [[genesisEntry()], [term(1)]], [], ["1 genesis lattice 2048", "2"]],
  [
    "transactions, then the block they belong to",
    [[genesisEntry()], [run("a1", "a2")], [run("a1"), blockEntry(1)], [run("a3")]],
    ["run 2+2", "run 1+1", "apply 1", "close 1", "open 2", "run 1+1"],
    [
      "1 genesis lattice 2048",
      "2 2 transactions 2 results",
      "3 1 transactions 1 results block 1 in 1",
      "4 1 transactions 1 results",
    ],
  ],
  [
    "two runs in one message are one record",
    [[genesisEntry()], [run("a1"), sealEntry(0), runEntry(["a2", "a3"], "01", 1, 1)]],
    ["run 1+1", "seal 0", "run 2+2"],
    ["1 genesis lattice 2048", "2 3 transactions 3 results"],
  ],
  [
    "a seal said twice is sealed once",
    [[genesisEntry()], [sealEntry(0)], [sealEntry(0)], [blockEntry(1)], [sealEntry(1)]],
    ["seal 0", "apply 1", "close 1", "open 2", "seal 1"],
    ["1 genesis lattice 2048", "2", "3", "4 block 1 in 1", "5"],
  ],
  [
    "a map change behind its block",
    [[genesisEntry()], [blockEntry(1, { snapshot: true }), map(2)]],
    ["apply 1", "close 1", "open 2", "own 1"],
    ["1 genesis lattice 2048", "2 block 1 in 1 map 2 snapshot 1"],
  ],
])("%s", (_what, log, engine, out) => check(log, { engine: [...START, ...engine], out }));

test.each<[what: string, message: Entry[], refusal: string]>([
  ["an entry of unknown kind", [run("a1"), { kind: "fork" } as unknown as Entry], "FORMAT_UNKNOWN fork"],
  ["rules of a later version", [run("a1"), blockEntry(1, { rules: 3 })], "RULES_UNKNOWN 3 2"],
  ["rules of an earlier version", [run("a1"), blockEntry(1, { rules: 1 })], "RULES_UNKNOWN 1 2"],
  ["a block that is not open", [blockEntry(2)], "LOG_INVALID block 2 closes, open is 1"],
  ["a block that opens another than the next", [blockEntry(1, { opens: opensBlock(3) })], "LOG_INVALID block 1 opens 3"],
  [
    "time that goes back",
    [blockEntry(1, { opens: { ...opensBlock(2), timestamp: 5 } })],
    "LOG_INVALID timestamp 5 before 1700000001",
  ],
  ["a run behind a block", [blockEntry(1), run("a1")], "LOG_INVALID entry run behind block"],
  ["a map without a block", [map(2)], "LOG_INVALID entry map not right behind block"],
  ["an old map", [blockEntry(1), map(1)], "LOG_INVALID map version 1 behind 1"],
  ["a second genesis", [genesisEntry()], "LOG_INVALID entry genesis in message 2"],
  ["a seal of an open block", [sealEntry(1)], "LOG_INVALID seal of block 1, closed is 0"],
  ["an old term", [term(0)], "LOG_INVALID term 0 behind term 1"],
])("refuses %s and executes nothing of it", (_what, entries, refusal) =>
  check([[genesisEntry()], entries], { engine: START, out: ["1 genesis lattice 2048", `2 refused ${refusal}`] }),
);

test.each<[what: string, log: Entry[][], refusal: string]>([
  ["a log without genesis", [[run("a1")]], "1 refused LOG_INVALID entry run in message 1"],
  ["genesis of another chain", [[{ ...genesisEntry(), chainId: 5 }]], "1 refused LOG_INVALID chain id 5 is not 31337"],
])("refuses %s", (_what, log, refusal) => check(log, { engine: [], out: [refusal] }));

test("a second seal with another hash is refused", () => {
  const other = sealEntry(0, new Uint8Array(32).fill(9));
  check([[genesisEntry()], [sealEntry(0)], [other]], {
    engine: [...START, "seal 0"],
    out: ["1 genesis lattice 2048", "2", "3 refused LOG_INVALID block 0 is sealed again with another hash"],
  });
});

test("a message delivered again is passed over, a skipped one is a bug", () => {
  const state = emptyState(0, TEST_CHAIN_ID);
  const engine = new FakeEngine();
  const first = logMessage(1, [genesisEntry()]);
  expect(applyMessage(state, first.message, first.position, engine, new Uint8Array(0))).not.toBeNull();
  expect(applyMessage(state, first.message, first.position, engine, new Uint8Array(0))).toBeNull();
  const third = logMessage(3, [term(1)]);
  expect(() => applyMessage(state, third.message, third.position, engine)).toThrow("bug: gap in log: 3 behind 1");
});

test("a partition imports only the genesis cells it owns", () => {
  const state = emptyState(1, TEST_CHAIN_ID);
  const engine = new FakeEngine();
  const cells = new Uint8Array([...fakeSlotCell(addressOf("01"), 7), ...fakeSlotCell(addressOf("f1"), 8)]);
  const { message, position } = logMessage(1, [genesisEntry(evenRangeMap(2))]);
  applyMessage(state, message, position, engine, cells);
  expect(engine.calls).toContain("import 85");
  expect(engine.memory().accounts).toBe(1);
});

test("a state made of a manifest goes on like the one it was taken of", () => {
  const log: Entry[][] = [
    [genesisEntry()],
    [run("a1"), blockEntry(1)],
    [sealEntry(0)],
    [run("a2"), blockEntry(2, { snapshot: true })],
  ];
  const rest: LogMessage[] = [];
  const left = emptyState(0, TEST_CHAIN_ID);
  const engine = new FakeEngine();
  let lattice: Uint8Array = new Uint8Array(0);
  for (const [index, entries] of log.entries()) {
    const { message, position } = logMessage(index + 1, entries);
    const applied = applyMessage(left, message, position, engine, new Uint8Array(0));
    lattice = applied?.snapshot?.lattice ?? lattice;
  }
  const right = stateOfManifest(manifestOf(left, lattice), TEST_CHAIN_ID);
  expect(right).toEqual({ ...left, owners: right.owners });
  expect([right.closedBlock, sealedBlock(right), right.unsealed, rest]).toEqual([2, 0, [1, 2], []]);
});
