/**
 * Predicts which accounts a call touches beside those that its transaction tells itself: from what earlier calls of the same
 * (contract, selector) touched. A prediction is never trusted: a wrong one costs locks that nobody needed or a miss, never a
 * wrong result.
 *
 * P1. What is touched is learned as a place in the call where one fits: the callee, the sender, the address in word i of the
 *     calldata; else as a constant. What depends on arguments is learned by an exact list, keyed by the calldata's address words.
 * P2. Every source has a support that rises when it fits and falls when it does not; it predicts while that is high enough, and
 *     is dropped when it is low. Only a transaction that came to an end shows what was not touched.
 * P3. Every list is bounded, and so is their number; those unused longest go first.
 * P4. The mode is the strongest one seen; a weaker one counts after a while of nothing else.
 */
import { LRUCache } from "lru-cache";
import { sameBytes } from "../bytes.ts";
import { compareAddresses, unionModes } from "../modes/union-modes.ts";
import { TOUCH, WHY, touchCount, touchWhy } from "../touches.ts";
import { DECLARED_BYTES, MODE, TX, txAttempt, txCreates, txHasValue } from "../transactions.ts";
import type { Call } from "./predict-call.ts";
import { callAt, callKey, methodKey } from "./predict-call.ts";

export interface PredictorLimits {
  methodsMax: number; // (contract, selector) with something learned
  callsMax: number; //   exact lists
  sourcesMax: number; // of one list
}
export const predictorLimits: Readonly<PredictorLimits> = { methodsMax: 10_000, callsMax: 10_000, sourcesMax: 64 };

/** Where a source takes its account from; a number from 0 on is a word of the calldata. */
const FROM = { callee: -1, sender: -2, constant: -3 } as const;

interface Source {
  readonly from: number;
  readonly address: Uint8Array | null; // of a constant
  mode: number;
  /** How often in a row only weaker modes were seen. */
  weaker: number;
  support: number; // 0 to 255
  /** Transactions that touched it. */
  hits: number;
}
/** Sources of one method, or of one exact call. */
interface Learned {
  sources: Source[];
  /** High if constants were learned that nothing touched again: then a new one must be seen twice. */
  doubt: number;
}

export interface Predictor {
  readonly limits: PredictorLimits;
  readonly methods: LRUCache<string, Learned>;
  readonly calls: LRUCache<string, Learned>;
  /** By the last two bytes of a contract's address: how many methods are learned. Most have none, and this tells at once. */
  readonly contracts: Uint16Array;
}

const SUPPORT = { first: 144, doubted: 112, predicts: 128, dropped: 64 } as const;
const DOUBT = { raise: 2, high: 4, max: 8 } as const;
/** Weaker modes in a row before one is believed. */
const WEAKER_MAX = 16;
/** Order of modes: code, read, write. */
const STRENGTH = [1, 2, 0];
const isStronger = (mode: number, than: number): boolean => (STRENGTH[mode] ?? 2) > (STRENGTH[than] ?? 2);

export function openPredictor(limits: PredictorLimits = predictorLimits): Predictor {
  const contracts = new Uint16Array(65_536);
  const methods = new LRUCache<string, Learned>({
    max: limits.methodsMax,
    dispose: (_, key) => void contracts[placeOfKey(key)]!--,
  });
  return { limits, methods, calls: new LRUCache<string, Learned>({ max: limits.callsMax }), contracts };
}

const placeOfKey = (key: string): number => (key.charCodeAt(18) << 8) | key.charCodeAt(19);

/** True if something may be known of the contract that the record at `at` calls. */
export function hasLearned(predictor: Predictor, records: Uint8Array, at: number): boolean {
  const last = at + TX.to + 18;
  return predictor.contracts[(records[last]! << 8) | records[last + 1]!] !== 0;
}

/**
 * The accounts that the record at `at` will touch, as far as it is known: packed (u8 mode, b20 address)*, ascending, each account
 * once. The callee is among them with the mode that was learned, see `withPrediction`. Null if nothing is known, which is found
 * out in some ns for a contract without anything learned; creations predict nothing.
 */
export function predict(predictor: Predictor, records: Uint8Array, at: number): Uint8Array | null {
  if (!hasLearned(predictor, records, at) || txCreates(records, at)) return null;
  const call = callAt(records, at);
  if (call === null) return null;
  const key = methodKey(call);
  const method = predictor.methods.get(key);
  if (method === undefined) return null;
  const exact = callKey(key, call);
  return packSources((exact === null ? undefined : predictor.calls.get(exact)) ?? method, call);
}

/**
 * The declared set of the record at `at` with its prediction. The callee gets the mode that was learned, where the gateway, which
 * knows nothing of it, says `write`: else all calls of a router would wait for each other. Where value moves it stays `write`,
 * and one account is always read or written, so that somebody runs the transaction.
 */
export function withPrediction(records: Uint8Array, at: number, own: Uint8Array, predicted: Uint8Array): Uint8Array {
  const set = unionModes(own, predicted);
  if (txHasValue(records, at)) return set;
  const learned = findAccount(predicted, records, at + TX.to);
  const callee = findAccount(set, records, at + TX.to);
  if (learned < 0 || callee < 0 || predicted[learned] === MODE.write) return set;
  set[callee] = predicted[learned]!;
  for (let place = 0; place < set.length; place += DECLARED_BYTES) if (set[place] !== MODE.code) return set;
  set[callee] = MODE.read;
  return set;
}

/** Offset of an account in a packed set; -1 if it is not there. */
function findAccount(set: Uint8Array, bytes: Uint8Array, offset: number): number {
  for (let place = 0; place < set.length; place += DECLARED_BYTES) {
    if (sameBytes(set, place + 1, bytes, offset, 20)) return place;
  }
  return -1;
}

/**
 * Learns from what one transaction touched: of a miss what is known, of one that came to an end all of it. Cold path.
 * @param records packed record at `at`
 * @param touches packed touch record at `touchAt`
 */
export function learn(predictor: Predictor, records: Uint8Array, touches: Uint8Array, at = 0, touchAt = 0): void {
  const why = touchWhy(touches, touchAt);
  if (txCreates(records, at) || why === WHY.follows) return;
  const call = callAt(records, at);
  if (call === null) return;
  const key = methodKey(call);
  const seen: Seen = {
    touches,
    first: touchAt + TOUCH.accounts,
    count: touchCount(touches, touchAt),
    isWhole: why === WHY.complete,
    isAgain: txAttempt(records, at) > 0,
  };
  const method = predictor.methods.get(key) ?? openMethod(predictor, key, call, seen, txHasValue(records, at));
  if (method === null) return;
  const exact = callKey(key, call);
  if (exact !== null) learnExact(predictor, exact, method, call, seen);
  note(method, call, seen, predictor.limits.sourcesMax);
}

/** What one transaction touched. */
interface Seen {
  readonly touches: Uint8Array;
  readonly first: number; // offset of the first account, as (u8 mode, b20)
  readonly count: number;
  /** It came to an end: what is not here was not touched. */
  readonly isWhole: boolean;
  /** It was seen before: what it touches counts once. */
  readonly isAgain: boolean;
}

/** A new method, if anything was touched that the transaction does not tell itself; else null. */
function openMethod(predictor: Predictor, key: string, call: Call, seen: Seen, hasValue: boolean): Learned | null {
  const { records, to, sender } = call;
  let tells = 0;
  for (let number = 0, place = seen.first + 1; number < seen.count; number++, place += DECLARED_BYTES) {
    if (sameBytes(seen.touches, place, records, to, 20)) tells++;
    else if (hasValue && sameBytes(seen.touches, place, records, sender, 20)) tells++;
  }
  if (tells === seen.count) return null;
  const method: Learned = { sources: [], doubt: 0 };
  predictor.methods.set(key, method);
  predictor.contracts[placeOfKey(key)]!++;
  return method;
}

/** Exact lists are for what places and constants of the method do not explain. */
function learnExact(predictor: Predictor, key: string, method: Learned, call: Call, seen: Seen): void {
  const known = predictor.calls.get(key);
  if (known === undefined && isExplained(method, call, seen)) return;
  const exact = known ?? { sources: [], doubt: 0 };
  if (known === undefined) predictor.calls.set(key, exact);
  note(exact, { ...call, words: [] }, seen, predictor.limits.sourcesMax);
}

function isExplained(method: Learned, call: Call, { touches, first, count }: Seen): boolean {
  const { records, to, sender, words } = call;
  for (let number = 0, place = first + 1; number < count; number++, place += DECLARED_BYTES) {
    if (sameBytes(touches, place, records, to, 20) || sameBytes(touches, place, records, sender, 20)) continue;
    if (words.some((word) => word !== 0 && sameBytes(touches, place, records, word, 20))) continue;
    if (!method.sources.some((source) => source.hits > 1 && predicts(source) && isConstant(source, touches, place))) return false;
  }
  return true;
}

const predicts = ({ support }: Source): boolean => support >= SUPPORT.predicts;
const isConstant = ({ address }: Source, bytes: Uint8Array, place: number): boolean =>
  address !== null && sameBytes(address, 0, bytes, place, 20);

/** Offset of the account that a source means in this call, in `records`; 0 for a constant, or a word without an address. */
function placeOf({ from }: Source, call: Call): number {
  if (from === FROM.callee) return call.to;
  if (from === FROM.sender) return call.sender;
  return from === FROM.constant ? 0 : (call.words[from] ?? 0);
}

/** Takes one transaction into a list. */
function note(learned: Learned, call: Call, seen: Seen, sourcesMax: number): void {
  const { touches, first, count } = seen;
  const isKnown = new Uint8Array(count);
  for (const source of learned.sources) {
    const place = placeOf(source, call);
    if (place === 0 && source.from !== FROM.constant) continue; // This call has no address there: it shows nothing.
    const number = findTouched(seen, source.address ?? call.records, place);
    if (number >= 0) {
      isKnown[number] = 1;
      hit(learned, source, touches[first + number * DECLARED_BYTES]!, seen.isAgain);
    } else if (seen.isWhole) miss(learned, source);
  }
  learned.sources = learned.sources.filter(({ support }) => support >= SUPPORT.dropped);
  for (let number = 0; number < count; number++) {
    const place = first + number * DECLARED_BYTES;
    const fresh = newSources(learned, call, touches.subarray(place, place + DECLARED_BYTES), isKnown[number] === 1);
    for (const source of fresh) add(learned, source, sourcesMax);
  }
}

function findTouched({ touches, first, count }: Seen, bytes: Uint8Array, place: number): number {
  for (let number = 0; number < count; number++) {
    if (sameBytes(touches, first + 1 + number * DECLARED_BYTES, bytes, place, 20)) return number;
  }
  return -1;
}

function hit(learned: Learned, source: Source, mode: number, isAgain: boolean): void {
  noteMode(source, mode);
  if (isAgain) return;
  source.support += (256 - source.support) >> 2;
  source.hits++;
  if (source.from === FROM.constant && source.hits === 2) learned.doubt = Math.max(0, learned.doubt - 1);
}

function miss(learned: Learned, source: Source): void {
  const predicted = predicts(source);
  source.support -= source.support >> 3;
  if (source.from !== FROM.constant || source.hits > 1 || !predicted || predicts(source)) return;
  learned.doubt = Math.min(DOUBT.max, learned.doubt + DOUBT.raise);
}

function noteMode(source: Source, mode: number): void {
  if (!isStronger(source.mode, mode)) {
    source.mode = mode;
    source.weaker = 0;
  } else if (++source.weaker === WEAKER_MAX) {
    source.mode = mode;
    source.weaker = 0;
  }
}

/** New sources for a touched account (mode, address): every place that fits, else a constant unless it is known. */
function newSources({ sources, doubt }: Learned, call: Call, touched: Uint8Array, isKnown: boolean): Source[] {
  const { records, to, sender, words } = call;
  const fresh = { address: null, mode: touched[0]!, weaker: 0, support: SUPPORT.first, hits: 1 };
  const isAt = (offset: number) => offset !== 0 && sameBytes(touched, 1, records, offset, 20);
  const places: number[] = words.flatMap((offset, word) => (isAt(offset) ? [word] : []));
  if (isAt(to)) places.push(FROM.callee);
  if (isAt(sender)) places.push(FROM.sender);
  if (places.length > 0) {
    return places.filter((from) => !sources.some((source) => source.from === from)).map((from) => ({ ...fresh, from }));
  }
  if (isKnown) return [];
  const support = doubt >= DOUBT.high ? SUPPORT.doubted : SUPPORT.first;
  return [{ ...fresh, from: FROM.constant, address: touched.slice(1), support }];
}

/** In a full list the source with the least support gives way. */
function add({ sources }: Learned, source: Source, sourcesMax: number): void {
  if (sources.length < sourcesMax) {
    sources.push(source);
    return;
  }
  let least = 0;
  for (let index = 1; index < sources.length; index++) if (sources[index]!.support < sources[least]!.support) least = index;
  sources[least] = source;
}

function packSources({ sources }: Learned, call: Call): Uint8Array | null {
  const packed = new Uint8Array(sources.length * DECLARED_BYTES);
  let end = 0;
  for (const source of sources) {
    const place = placeOf(source, call);
    if (!predicts(source) || (place === 0 && source.address === null)) continue;
    end = insert(packed, end, source.mode, source.address ?? call.records, place);
  }
  return end === 0 ? null : packed.subarray(0, end);
}

/** Puts an account into its place in an ascending list of `end` bytes; returns the list's new end. */
function insert(packed: Uint8Array, end: number, mode: number, bytes: Uint8Array, place: number): number {
  let spot = 0;
  for (; spot < end; spot += DECLARED_BYTES) {
    const order = compareAddresses(packed, spot + 1, bytes, place);
    if (order > 0) break;
    if (order < 0) continue;
    if (isStronger(mode, packed[spot]!)) packed[spot] = mode;
    return end;
  }
  packed.copyWithin(spot + DECLARED_BYTES, spot, end);
  packed[spot] = mode;
  packed.set(bytes.subarray(place, place + 20), spot + 1);
  return end + DECLARED_BYTES;
}
