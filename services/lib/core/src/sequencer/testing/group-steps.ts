/** Steps of stories about groups: what is sent, what a flush then says, what homes propose. */
import { assert } from "../../assert.ts";
import { concatBytes, hexOf, writeU16, writeU32, writeU64 } from "../../bytes.ts";
import type { Entry } from "../../entries.ts";
import type { GroupProposal } from "../../messages.ts";
import { TOUCH, WHY } from "../../touches.ts";
import { MODE, TX, txBytes, txCount, txIndex, txNonce } from "../../transactions.ts";
import { takeGroupProposal, takeReport, tickSequencer } from "../lead.ts";
import type { SequencerLimits } from "../limits.ts";
import { lockLimits } from "../lock-machine.ts";
import { takeMisses } from "../misses.ts";
import { reportOf } from "./ledger.ts";
import { accountOf, declaredSet } from "./records.ts";
import type { TestTransfer } from "./records.ts";
import { endFlush, leadFresh, logOf, settleEffects, startFlush, submit } from "./test-leader.ts";
import type { TestLeader } from "./test-leader.ts";

/** Accounts by their partition among 4: `at[1]` are numbers of accounts that partition 1 owns. */
const { ownerOf } = leadFresh().chain.ledger.ranges;
export const at = [0, 1, 2, 3].map((partition) =>
  Array.from({ length: 200 }, (_, account) => account).filter((account) => ownerOf(accountOf(account), 0) === partition),
);
export const on = (partition: number, number = 0): number => at[partition]?.[number] ?? -1;
export const write = (account: number): [number, number] => [account, MODE.write];

/** A transaction of sender `on(0, 50 + sender)` to these accounts; the first one is `to`. */
export const tx = (sender: number, nonce: number, ...[to, ...others]: number[]): TestTransfer => ({
  ...{ sender: on(0, 30 + sender), nonce, declared: others.map(write) },
  ...(to === undefined ? {} : { to }),
});

/** Nonces and senders of packed records, as "0.1" for sender 0's nonce 1. */
export function membersOf(records: Uint8Array): string {
  const texts: string[] = [];
  for (let place = 0; place < records.length; place += txBytes(records, place)) {
    const sender = at[0]?.findIndex(
      (account) => hexOf(accountOf(account)) === hexOf(records, place + TX.sender, place + TX.sender + 20),
    );
    texts.push(`${(sender ?? 0) - 30}.${txNonce(records, place)}`);
  }
  return texts.join(",");
}

export function textOf(entry: Entry): string {
  switch (entry.kind) {
    case "run":
      return entry.transactions.length === 0 ? "nonces" : `run ${membersOf(entry.transactions)}`;
    case "group":
      return `${entry.whole ? "whole" : "group"} ${entry.participants.join("")}: ${membersOf(entry.transactions)}`;
    case "lock":
      return `lock ${entry.accounts.length / 21}`;
    default:
      return entry.kind;
  }
}

/** What the outstanding flush says, by partition; nonce records alone are left out. */
export const said = ({ plan }: TestLeader): string[] =>
  (plan?.messages ?? []).flatMap(({ partition, entries }) => {
    const texts = entries.map(textOf).filter((text) => text !== "nonces");
    return texts.length === 0 ? [] : [`${partition}: ${texts.join(" + ")}`];
  });

/** Submits, starts the flush that is due and ends it. Returns what it says. */
export function send(leader: TestLeader, ...transfers: TestTransfer[]): string[] {
  submit(leader, transfers);
  return next(leader);
}

export function next(leader: TestLeader): string[] {
  leader.now += 5;
  startFlush(leader);
  const text = said(leader);
  if (leader.plan !== undefined) endFlush(leader);
  return text;
}

export const report = (leader: TestLeader) => {
  for (const id of leader.chain.logs.keys()) takeReport(leader.sequencer, reportOf(leader.chain.ledger, id), leader.now);
};

export interface Miss {
  why: number;
  accounts?: [number, number][];
  value?: number;
}

export function touchRecord(index: number, { why, accounts = [], value = 0 }: Miss): Uint8Array {
  const set = declaredSet(accounts);
  const record = new Uint8Array(TOUCH.accounts + set.length);
  writeU32(record, TOUCH.bytes, record.length);
  writeU32(record, TOUCH.index, index);
  record[TOUCH.why] = why;
  writeU16(record, TOUCH.count, accounts.length);
  writeU64(record, TOUCH.value, value);
  record.set(set, TOUCH.accounts);
  return record;
}

/** The home of the only open group proposes: these members missed, by number; the others came to an end. */
export function propose(leader: TestLeader, misses: Record<number, Miss> = {}): GroupProposal {
  const [group] = leader.chain.ledger.groups.values();
  assert(group !== undefined, "no group is open");
  const { position, home, transactions } = group;
  const parts = Array.from({ length: txCount(transactions) }, (_, member) =>
    touchRecord(position.index + 1 + member, misses[member] ?? { why: WHY.complete }),
  );
  const touches = concatBytes(parts);
  const proposal = { home, group: position, results: new Uint8Array(0), touches, writes: [] };
  takeGroupProposal(leader.sequencer, proposal, leader.now);
  settleEffects(leader);
  return proposal;
}

export const records = (leader: TestLeader): Uint8Array[] =>
  [0, 1, 2, 3].flatMap((partition) =>
    logOf(leader.chain, partition).flatMap(({ entries }) =>
      entries.flatMap((entry) => {
        if (entry.kind !== "run" && entry.kind !== "group") return [];
        const list: Uint8Array[] = [];
        const { transactions } = entry;
        for (let place = 0; place < transactions.length; place += txBytes(transactions, place)) {
          list.push(transactions.slice(place, place + txBytes(transactions, place)));
        }
        return list;
      }),
    ),
  );

/** Sender 0's first transaction misses locally on partition 1. */
export function missed(leader: TestLeader, miss: Miss, ...others: TestTransfer[]): void {
  send(leader, tx(0, 0, on(1)), ...others);
  const record = records(leader).at(-1 - others.length) ?? new Uint8Array(0);
  const flushNumber = leader.sequencer.flushAcknowledged;
  const one = { flush: flushNumber, record, touch: touchRecord(txIndex(record, 0), miss) };
  leader.chain.ledger.executed.delete(hexOf(record, TX.hash, TX.hash + 32)); // A ledger runs everything at once.
  const block = leader.sequencer.blocks.open.number;
  for (let said = 0; said < 2; said++) {
    takeMisses(leader.sequencer, { partition: 1, block, first: 0, missed: [one] }, leader.now);
  }
  settleEffects(leader);
}

export const patient: Partial<SequencerLimits> = { lock: { ...lockLimits, lockMsMax: 200 } };

/** Another leader with the same group, to make a proposal of. */
export function leadCopy(leader: TestLeader): TestLeader {
  const copy = leadFresh(4, patient);
  copy.now = leader.now - 5;
  send(copy, tx(0, 0, on(1), on(2)));
  return copy;
}

export function abort(leader: TestLeader): void {
  leader.now += 200;
  report(leader);
  tickSequencer(leader.sequencer, leader.now);
  next(leader);
}
