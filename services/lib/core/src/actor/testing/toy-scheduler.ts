/**
 * A scheduler in small: sequences what is submitted as local transactions and groups, commits the first proposal of each group,
 * aborts now and then, sequences misses again, drains and closes blocks, moves accounts. Simpler than the real one on purpose:
 * several unresolved groups may stand on one account here, so that the partitions' queues have something to do.
 */
import { assert } from "../../assert.ts";
import { concatBytes, hexOf } from "../../bytes.ts";
import type { MovedRange, Position } from "../../entries.ts";
import { indexRanges } from "../../ranges.ts";
import { WHY, touchAccounts, touchBytes, touchIndex, touchValue, touchWhy } from "../../touches.ts";
import { ATTEMPTS_MAX, DECLARED_BYTES, MODE, txIndex } from "../../transactions.ts";
import { cellsOwnedBy } from "../cells.ts";
import { settledN } from "../queue.ts";
import { blockEntry, nonceRecordOf, opensBlock, sealEntry, toyRecord } from "./messages.ts";
import { missesOf } from "./test-partition.ts";
import { Draft, itemIn, itemOf, mapOf } from "./toy-draft.ts";
import type { ToyProposal, ToyTx, ToyWorld } from "./toy-world.ts";
import { stronger } from "./toy-world.ts";

type Modes = Map<number, number>;

interface Waiting {
  tx: ToyTx;
  /** Null before it was sequenced for the first time. */
  declared: Modes | null;
  attempt: number;
  /** Not before the seal of this block. */
  afterSeal: number;
}

interface Flying {
  tx: ToyTx;
  declared: Modes;
  attempt: number;
  position: Position;
  home: number;
  group: Group | null;
}

interface Group {
  position: Position;
  home: number;
  participants: number[];
  whole: boolean;
  members: Flying[];
}

type Item = Flying | Group;

export class ToyScheduler {
  /** A block is to be closed. */
  isDue = false;
  readonly #world: ToyWorld;
  readonly #next = new Map<number, number>();
  readonly #waiting = new Map<number, Map<number, Waiting>>();
  readonly #flying = new Map<number, Map<number, Flying>>();
  readonly #positions = new Map<string, Position>();
  readonly #groups = new Map<string, Group>();
  readonly #proposals = new Map<string, ToyProposal>();
  readonly #learned = new Map<number, Modes>();
  #flush = 1;
  #block = 1;
  #sealed = -1;
  #moves: MovedRange[] = [];

  constructor(world: ToyWorld) {
    this.#world = world;
    for (const { sender } of world.txs) {
      this.#next.set(sender, 0);
      this.#waiting.set(sender, new Map());
      this.#flying.set(sender, new Map());
    }
  }

  get isIdle(): boolean {
    const isEmpty = (bySender: Map<number, Map<number, unknown>>) => [...bySender.values()].every(({ size }) => size === 0);
    return this.#groups.size === 0 && this.#moves.length === 0 && isEmpty(this.#flying) && isEmpty(this.#waiting);
  }

  submit(tx: ToyTx): void {
    const waiting = mapOf(this.#waiting, tx.sender);
    if (tx.nonce < (this.#next.get(tx.sender) ?? 0) || waiting.has(tx.nonce)) return;
    waiting.set(tx.nonce, { tx, declared: null, attempt: 0, afterSeal: -1 });
  }

  hearProposal(proposal: ToyProposal): void {
    const name = nameOf(proposal.group);
    if (this.#groups.has(name) && !this.#proposals.has(name)) this.#proposals.set(name, proposal);
  }

  /** What a partition would report now: which of its local transactions have had their turn, and which of them missed. */
  hearReport(partition: number): void {
    const { state, missed } = itemOf(this.#world.partitions, partition);
    for (const [sender, flying] of this.#flying) {
      for (const [nonce, local] of flying) {
        const { position, home, group } = local;
        const isRead = position.flush <= state.position.flush;
        const waits = [...state.open.locals].some((open) => nameOf(open.position) === nameOf(position));
        if (group !== null || home !== partition || !isRead || waits) continue;
        flying.delete(nonce);
        const miss = missed.find(({ flush, record }) => flush === position.flush && txIndex(record, 0) === position.index);
        if (miss !== undefined) this.#retry(sender, local, miss.touch);
      }
    }
    assert(settledN(state) <= state.position.n, "nothing settles before it is read");
  }

  #retry(sender: number, { tx, declared, attempt }: Flying, touch: Uint8Array | null): void {
    const why = touch === null ? WHY.deferred : touchWhy(touch, 0);
    const touched = new Map(declared);
    if (touch !== null)
      for (const [account, mode] of this.#accountsOf(touch)) touched.set(account, stronger(touched.get(account), mode));
    if (why === WHY.outside && this.#world.chance(0.5)) {
      const learned = mapOf(this.#learned, tx.to);
      for (const [account, mode] of touched) if (account !== sender) learned.set(account, mode);
    }
    mapOf(this.#waiting, sender).set(tx.nonce, {
      tx,
      declared: touched,
      attempt: attempt + (why === WHY.outside ? 1 : 0),
      afterSeal: why === WHY.unsealed && touch !== null ? touchValue(touch, 0) : -1,
    });
  }

  #accountsOf(touch: Uint8Array): Modes {
    const packed = touchAccounts(touch, 0);
    const modes: Modes = new Map();
    for (let at = 0; at < packed.length; at += DECLARED_BYTES) {
      const account = this.#world.accountOf.get(hexOf(packed, at + 1, at + DECLARED_BYTES));
      assert(account !== undefined, "a touched account is one of the world's");
      modes.set(account, packed[at] ?? 0);
    }
    return modes;
  }

  flush(): void {
    if (this.#moves.length > 0) return this.#moveOn();
    this.#flush++;
    const draft = new Draft(this.#world.partitions.length);
    for (const [name, proposal] of this.#proposals) this.#applyGroup(draft, name, proposal);
    this.#proposals.clear();
    for (const [name, group] of this.#groups) {
      if (this.#world.isQuiet || !this.#world.chance(0.03)) continue;
      for (const partition of group.participants)
        draft.add(partition, { kind: "abort", index: draft.index, group: group.position });
      draft.index++;
      this.#resolve(name, () => null);
    }
    for (const item of this.#sequence()) this.#place(draft, item);
    this.#seal(draft);
    this.#closeBlock(draft);
    const entries = draft.entries();
    if (entries.some((list) => list.length > 0)) this.#world.append(entries);
    else this.#flush--;
  }

  #applyGroup(draft: Draft, name: string, { group: position, results, touches, writes }: ToyProposal): void {
    const { ownerOf } = this.#world.owners;
    const group = itemIn(this.#groups, name);
    for (const partition of group.participants) {
      const isHome = partition === group.home;
      draft.add(partition, {
        kind: "apply",
        index: draft.index,
        group: position,
        writes: cellsOwnedBy(writes, (bytes, at) => ownerOf(bytes, at) === partition),
        results: isHome ? results : NOTHING,
        misses: isHome ? missesOf(touches) : NOTHING,
      });
    }
    draft.index++;
    const byIndex = new Map<number, Uint8Array>();
    for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
      byIndex.set(touchIndex(touches, at), touches.slice(at, at + touchBytes(touches, at)));
    }
    this.#resolve(name, ({ position: { index } }) => itemIn(byIndex, index));
  }

  /** @param touchOf of a member; null if the group was aborted */
  #resolve(name: string, touchOf: (member: Flying) => Uint8Array | null): void {
    for (const member of itemIn(this.#groups, name).members) {
      const { sender, nonce } = member.tx;
      mapOf(this.#flying, sender).delete(nonce);
      const touch = touchOf(member);
      if (touch === null || touchWhy(touch, 0) !== WHY.complete) this.#retry(sender, member, touch);
    }
    this.#groups.delete(name);
  }

  /** What goes into this flush, in the order of positions. */
  #sequence(): Item[] {
    const items: Item[] = [];
    const fresh = new Map<string, Group>();
    const senders = [...this.#next.keys()].sort((left, right) => left - right);
    for (let left = senders.length; left > 0; left--) {
      const [sender] = senders.splice(this.#world.below(left), 1);
      if (sender !== undefined) this.#sequenceSender(sender, items, fresh);
    }
    return items;
  }

  #sequenceSender(sender: number, items: Item[], fresh: Map<string, Group>): void {
    const { chance, below } = {
      chance: (share: number) => this.#world.chance(share),
      below: (limit: number) => this.#world.below(limit),
    };
    const waiting = mapOf(this.#waiting, sender);
    const flying = mapOf(this.#flying, sender);
    for (const nonce of [...waiting.keys()].sort((left, right) => left - right)) {
      const next = this.#next.get(sender) ?? 0;
      const { tx, declared, attempt, afterSeal } = itemIn(waiting, nonce);
      if (nonce > next || (nonce === next && this.isDue) || afterSeal > this.#sealed || chance(0.1)) return;
      const set = this.#declare(tx, declared);
      const whole = attempt >= ATTEMPTS_MAX;
      const owners = [...set].filter(([, mode]) => mode !== MODE.code).map(([account]) => this.#world.ownerOf(account));
      const participants = whole ? this.#world.partitions.map((_, number) => number) : [...new Set(owners)].sort();
      const low = [...flying.values()].filter((other) => other.tx.nonce < nonce);
      const home = low[0]?.home ?? itemOf(participants, below(participants.length));
      if (!participants.includes(home) || low.some((other) => other.home !== home)) return;
      const isForeign = [...set.keys()].some((account) => this.#world.ownerOf(account) !== home);
      const one: Flying = { tx, declared: set, attempt, position: { flush: this.#flush, index: -1 }, home, group: null };
      if (whole || isForeign) this.#join(one, { whole, participants, items, fresh, before: low.at(-1) });
      else items.push(one);
      waiting.delete(nonce);
      flying.set(nonce, one);
    }
  }

  #declare(tx: ToyTx, declared: Modes | null): Modes {
    const set = new Map(declared ?? [...tx.guessed, ...(this.#learned.get(tx.to) ?? [])]);
    set.set(tx.to, MODE.write);
    if (tx.hasValue || (tx.nonce === 0 && this.#world.rules.firstDeclares)) set.set(tx.sender, MODE.write); // Rule firstDeclares
    return set;
  }

  /** Into a group of this flush, never one that stands before the sender's transaction before. */
  #join(
    one: Flying,
    where: { whole: boolean; participants: number[]; items: Item[]; fresh: Map<string, Group>; before: Flying | undefined },
  ): void {
    const { whole, participants, items, fresh, before } = where;
    const name = `${participants.join()} ${one.home} ${String(whole)}`;
    let group = fresh.get(name);
    const previous = before?.group ?? before;
    const isBehind =
      previous !== undefined && items.includes(previous) && group !== undefined && items.indexOf(previous) > items.indexOf(group);
    if (group === undefined || isBehind || this.#world.chance(0.3)) {
      group = { position: { flush: this.#flush, index: -1 }, home: one.home, participants, whole, members: [] };
      items.push(group);
      fresh.set(name, group);
    }
    one.group = group;
    group.members.push(one);
  }

  #place(draft: Draft, item: Item): void {
    if ("tx" in item) return draft.addLocal(item.home, this.#record(draft, item));
    item.position = { flush: this.#flush, index: draft.index++ };
    this.#groups.set(nameOf(item.position), item);
    const union: Modes = new Map();
    for (const { declared } of item.whole ? [] : item.members) {
      for (const [account, mode] of declared) union.set(account, stronger(union.get(account), mode));
    }
    const { index } = item.position;
    const records = item.members.map((member) => this.#record(draft, member));
    const { home, participants, whole } = item;
    for (const partition of participants) {
      const own = new Map(
        [...union].filter(([account, mode]) => mode !== MODE.code && this.#world.ownerOf(account) === partition),
      );
      const accounts = this.#pack(partition === home ? union : own);
      if (partition !== home) draft.add(partition, { kind: "lock", index, home, accounts, whole });
      else draft.add(home, { kind: "group", index, participants, accounts, whole, transactions: concatBytes(records) });
    }
  }

  /** Gives the transaction its position, and its nonce record the first time. */
  #record(draft: Draft, one: Flying): Uint8Array {
    const { tx, declared, attempt } = one;
    one.position = { flush: this.#flush, index: draft.index++ };
    const record = toyRecord({
      index: one.position.index,
      sender: this.#address(tx.sender),
      nonce: tx.nonce,
      to: this.#address(tx.to),
      declared: this.#pack(declared),
      after: this.#positions.get(`${tx.sender} ${tx.nonce - 1}`) ?? { flush: 0, index: 0 },
      attempt,
      program: tx.program,
    });
    this.#positions.set(`${tx.sender} ${tx.nonce}`, one.position);
    if (tx.nonce === this.#next.get(tx.sender)) {
      this.#next.set(tx.sender, tx.nonce + 1);
      draft.addNonce(this.#world.ownerOf(tx.sender), nonceRecordOf(record));
    }
    return record;
  }

  #address(account: number): Uint8Array {
    return itemOf(this.#world.accounts, account);
  }

  #pack(modes: Modes): Uint8Array {
    const byAddress = [...modes].map(([account, mode]): [Uint8Array, number] => [this.#address(account), mode]);
    byAddress.sort(([left], [right]) => (hexOf(left) < hexOf(right) ? -1 : 1));
    return concatBytes(byAddress.map(([address, mode]) => concatBytes([new Uint8Array([mode]), address])));
  }

  #seal(draft: Draft): void {
    if (this.#sealed >= this.#block - 1 || !this.#world.chance(0.5)) return;
    this.#sealed++;
    for (const partition of this.#world.partitions.keys()) draft.add(partition, sealEntry(this.#sealed));
  }

  #closeBlock(draft: Draft): void {
    const isUsed = [...this.#waiting].some(([sender, waiting]) =>
      [...waiting.keys()].some((nonce) => nonce < (this.#next.get(sender) ?? 0)),
    );
    const isFlying = [...this.#flying.values()].some(({ size }) => size > 0);
    if (!this.isDue || this.#groups.size > 0 || isUsed || isFlying) return;
    this.isDue = false;
    this.#moves = this.#world.isQuiet || !this.#world.chance(0.5) ? [] : this.#moveSomething();
    const changes = { opens: opensBlock(this.#block + 1), moves: this.#moves };
    for (const partition of this.#world.partitions.keys()) draft.add(partition, blockEntry(this.#block, changes));
    this.#block++;
    this.#positions.clear();
  }

  #moveSomething(): MovedRange[] {
    const account = this.#world.below(this.#world.accounts.length);
    const [from, to] = [this.#world.ownerOf(account), this.#world.below(this.#world.partitions.length)];
    const first = hexOf(this.#address(account));
    return from === to ? [] : [{ from, to, first, last: first }];
  }

  /** The block with moves is closed: once everything is written out, the map. Nothing else is sequenced meanwhile. */
  #moveOn(): void {
    const block = this.#block - 1;
    const { map } = this.#world.owners;
    const objects = this.#moves.map(({ first }) => `${block}/${first}`);
    if (!objects.every((object) => this.#world.chunks.has(object))) return;
    const pins = [...map.pins.filter(({ address }) => address !== this.#moves[0]?.first)];
    for (const { first, to } of this.#moves) pins.push({ address: first, partition: to });
    this.#world.owners = indexRanges({ ...map, version: map.version + 1, pins });
    const handOvers = this.#moves.map((range, number) => ({
      ...range,
      chunks: [{ object: objects[number] ?? "", sha256: "", bytes: 0 }],
    }));
    this.#flush++;
    this.#world.append(this.#world.partitions.map(() => [{ kind: "map", index: 0, map: this.#world.owners.map, handOvers }]));
    this.#moves = [];
  }
}

const NOTHING = new Uint8Array(0);
const nameOf = ({ flush, index }: Position): string => `${flush}.${index}`;
