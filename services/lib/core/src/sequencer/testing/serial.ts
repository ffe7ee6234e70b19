/** What happens in `GroupWorld`, and the check of it against serial execution. */
import { FakeEngine, fakeAccountCell, fakeCodeCell, fakeKey, fakeSlotCell, fakeSlotKey } from "../../actor/testing/index.ts";
import { mix, nonceRecordOf, opensBlock, sealHash, toyProgram, toyRecord } from "../../actor/testing/index.ts";
import type { ToyOp, ToyStep } from "../../actor/testing/index.ts";
import { assert } from "../../assert.ts";
import { concatBytes, hexOf } from "../../bytes.ts";
import { CELL } from "../../cells.ts";
import { PENDING } from "../../engine.ts";
import type { OutRecord } from "../../entries.ts";
import { unionModes } from "../../modes/union-modes.ts";
import type { RangeIndex } from "../../ranges.ts";
import { evenRangeMap, ownedBy } from "../../ranges.ts";
import { resultBytes } from "../../results.ts";
import { MODE, txBytes, txIndex } from "../../transactions.ts";

export interface WorldTransaction {
  sender: number; // number of its account
  nonce: number;
  record: Uint8Array;
}

interface Dice {
  below(limit: number): number;
  chance(share: number): boolean;
  pick<T>(list: readonly T[]): T;
}

const BALANCE = 40;
const NOTHING = new Uint8Array(0);

/** Accounts on all partitions, and their cells. */
export function makeAccounts(dice: Dice, partitions: number, isTight: boolean): { accounts: Uint8Array[]; genesis: Uint8Array } {
  const count = isTight ? 3 + dice.below(4) : partitions * 2 + dice.below(5);
  const accounts = Array.from({ length: count }, (_, number) => {
    const owner = number < partitions ? number : dice.below(partitions);
    const address = new Uint8Array(20).fill(number + 1);
    address[0] = Math.ceil((owner * 256) / partitions) + 1;
    return address;
  });
  const cells = accounts.flatMap((address, number) => [
    fakeSlotCell(address, mix(number, 5)),
    ...(dice.chance(0.6) ? [fakeAccountCell(address, BALANCE)] : []),
    ...(dice.chance(0.6) ? [fakeCodeCell(address, new Uint8Array([number + 1]))] : []),
  ]);
  return { accounts, genesis: concatBytes(cells) };
}

/** Programs that touch this and that; declared are `to`, the sender if value moves, and an access list, right or wrong. */
export function makeTransactions(
  dice: Dice,
  accounts: readonly Uint8Array[],
  ownerOf: (account: Uint8Array) => number,
): WorldTransaction[] {
  const made: WorldTransaction[] = [];
  const shares = { dynamic: dice.pick([0, 0.2, 0.6]), near: dice.pick([0.3, 0.7, 0.95]), value: dice.pick([0, 0.1, 0.3]) };
  accounts.forEach((account, sender) => {
    if (sender > 0 && dice.chance(0.5)) return;
    const count = 2 + dice.below(7);
    for (let nonce = 0; nonce < count; nonce++) {
      const to = dice.pick(accounts);
      const steps = makeSteps(dice, accounts, ownerOf, to, shares);
      const one = (address: Uint8Array, mode: number) => concatBytes([new Uint8Array([mode]), address]);
      let declared = one(to, MODE.write);
      if (steps.some(({ op }) => op === "pay")) declared = unionModes(declared, one(account, MODE.write));
      for (let more = dice.pick([0, 0, 1, 2]); more > 0; more--) {
        declared = unionModes(declared, one(dice.pick(accounts), MODE.write));
      }
      const program = toyProgram(steps, made.length + 1);
      const fields = { index: 0, sender: account, nonce, to, declared, after: { flush: 0, index: 0 }, attempt: 0, program };
      made.push({ sender, nonce, record: toyRecord(fields) });
    }
  });
  return made;
}

const OPS: ToyOp[] = ["read", "read", "add", "stir", "stir", "stir", "look", "code", "hash", "revert"];

function makeSteps(
  dice: Dice,
  accounts: readonly Uint8Array[],
  ownerOf: (account: Uint8Array) => number,
  to: Uint8Array,
  { dynamic, near, value }: { dynamic: number; near: number; value: number },
): ToyStep[] {
  let at = to;
  return Array.from({ length: 1 + dice.below(5) }, (_, number) => {
    const op: ToyOp = number > 0 && dice.chance(value) ? "pay" : dice.pick(OPS);
    if (op === "hash") return { op, accounts: [], amount: dice.below(6) };
    const from = dice.chance(dynamic) ? [at, dice.pick(accounts), dice.pick(accounts)] : [at];
    const nearby = accounts.filter((other) => ownerOf(other) === ownerOf(at));
    at = dice.pick(dice.chance(near) ? nearby : accounts);
    const amount = op === "pay" ? dice.below(BALANCE) : op === "revert" ? 3 + dice.below(18) : 0;
    return { op, accounts: op === "revert" ? [] : from, amount };
  });
}

export interface Ended {
  flush: number;
  transaction: Uint8Array;
  result: Uint8Array;
}

/** Everything that came to an end in a record. */
export function endedIn(record: OutRecord): Ended[] {
  const runs = [{ flush: record.flush, transactions: record.transactions, results: record.results }, ...record.settled];
  return runs.flatMap(({ flush, transactions, results }) => {
    const ended: Ended[] = [];
    let [at, resultAt] = [0, 0];
    while (at < transactions.length) {
      const [next, resultNext] = [at + txBytes(transactions, at), resultAt + resultBytes(results, resultAt)];
      ended.push({ flush, transaction: transactions.slice(at, next), result: results.slice(resultAt, resultNext) });
      [at, resultAt] = [next, resultNext];
    }
    assert(resultAt === results.length, "transactions and results pair");
    return ended;
  });
}

/** What came to an end in a block: in the records up to the one that closes it. */
function inBlock(records: readonly OutRecord[], block: number): Ended[] {
  let open = 0;
  return records.flatMap((record) => {
    const ended = open === block ? endedIn(record) : [];
    if (record.genesis !== null || record.block !== null) open++;
    return ended;
  });
}

const byPosition = (left: Ended, right: Ended): number =>
  left.flush - right.flush || txIndex(left.transaction, 0) - txIndex(right.transaction, 0);

interface Outcome {
  genesis: Uint8Array;
  accounts: readonly Uint8Array[];
  transactions: readonly WorldTransaction[];
  partitions: readonly { state: { closedBlock: number }; engine: FakeEngine; records: readonly OutRecord[] }[];
}

/** Runs what was published one after the other on one engine that owns everything. Returns what differs, null if nothing. */
export function checkSerial({ genesis, accounts, transactions, partitions }: Outcome, owners: RangeIndex): string | null {
  const engine = new FakeEngine();
  engine.setOwned(ownedBy(evenRangeMap(1), 0));
  engine.importCells(genesis);
  engine.seal(0, sealHash(0));
  const blocks = Math.max(...partitions.map(({ state }) => state.closedBlock));
  const nonces = new Map<string, number>();
  let count = 0;
  for (let block = 1; block <= blocks + 1; block++) {
    engine.openBlock(opensBlock(block));
    const ended = partitions.flatMap(({ records }) => inBlock(records, block)).sort(byPosition);
    for (const { transaction, result } of ended) {
      const nonce = nonceRecordOf(transaction);
      const sender = hexOf(nonce, 4, 24);
      if (nonce[24] !== (nonces.get(sender) ?? 0)) return `nonce order of ${sender} in block ${block}`;
      nonces.set(sender, nonce[24] + 1);
      const { results } = engine.run(transaction, nonce, { flush: 0, strict: false, barred: NOTHING, missed: NOTHING });
      if (hexOf(results) !== hexOf(result)) return `a result differs from the serial replay in block ${block}`;
      count++;
    }
    engine.closeBlock();
    engine.seal(block, sealHash(block));
  }
  if (count !== transactions.length) return `${count} of ${transactions.length} transactions came to an end`;
  for (const [number, address] of accounts.entries()) {
    const request = concatBytes([fakeSlotKey(address), fakeKey(CELL.account, address), fakeKey(CELL.nonce, address)]);
    const own = partitions[owners.ownerOf(address, 0)]?.engine.read(PENDING, request);
    if (JSON.stringify(own) !== JSON.stringify(engine.read(PENDING, request)))
      return `account ${number} differs from the serial replay`;
  }
  return null;
}
