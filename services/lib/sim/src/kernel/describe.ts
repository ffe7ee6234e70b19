/** One line for a message, for readers of traces. */
import {
  decodeAdminReply,
  decodeAdminRequest,
  decodeBeat,
  decodeGroupProposal,
  decodeLogMessage,
  decodeMisses,
  decodeOutMessage,
  decodeOutRecords,
  decodeReadRequest,
  decodeReport,
} from "@meridian/bus";
import {
  DECLARED_BYTES,
  MODE,
  NONCE,
  NONCE_BYTES,
  TOUCH,
  TX,
  WHY,
  cellBytes,
  hexOf,
  readU32,
  readU64,
  touchBytes,
  touchIndex,
  touchWhy,
  txAfterFlush,
  txAfterIndex,
  txAttempt,
  txBytes,
  txDeclared,
  txIndex,
  txNonce,
} from "@meridian/core";
import type { Entry, OutRecord, Position, RangeMap } from "@meridian/core";

const short = (bytes: Uint8Array, at: number): string => hexOf(bytes, at, at + 2);
const place = ({ flush, index }: Position): string => `${flush}/${index}`;
const MODES = new Map<number, string>([[MODE.read, "r"], [MODE.write, "w"], [MODE.code, "c"]]); // prettier-ignore
const WHYS = new Map<number, string>(Object.entries(WHY).map(([name, why]) => [why, name]));

/** Packed (u8 mode, b20)*. */
export function describeAccounts(accounts: Uint8Array): string {
  const names: string[] = [];
  for (let at = 0; at < accounts.length; at += DECLARED_BYTES)
    names.push(`${MODES.get(accounts[at]!)}:${short(accounts, at + 1)}`);
  return names.join(" ");
}

/** Packed transaction records. */
export function describeTransactions(records: Uint8Array): string {
  const texts: string[] = [];
  for (let at = 0; at < records.length; at += txBytes(records, at)) {
    const declared = records.subarray(at + TX.declaredSet, at + TX.declaredSet + txDeclared(records, at) * DECLARED_BYTES);
    const afterFlush = txAfterFlush(records, at);
    const after = afterFlush === 0 ? "" : ` after ${afterFlush}/${txAfterIndex(records, at)}`;
    const attempt = txAttempt(records, at) === 0 ? "" : ` attempt ${txAttempt(records, at)}`;
    const sender = `${short(records, at + TX.sender)}#${txNonce(records, at)}`;
    texts.push(
      `${txIndex(records, at)}=${short(records, at + TX.hash)}(${sender}${attempt}${after} ${describeAccounts(declared)})`,
    );
  }
  return texts.join(" ");
}

function describeCells(cells: Uint8Array): string {
  const names: string[] = [];
  for (let at = 0; at < cells.length; at += cellBytes(cells, at)) names.push(`${cells[at]}:${short(cells, at + 1)}`);
  return [...new Set(names)].join(" ");
}

function describeTouches(touches: Uint8Array): string {
  const texts: string[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    const accounts = describeAccounts(touches.subarray(at + TOUCH.accounts, at + touchBytes(touches, at)));
    texts.push(`${touchIndex(touches, at)} ${WHYS.get(touchWhy(touches, at))} ${accounts}`);
  }
  return texts.join("; ");
}

function describeNonces(nonces: Uint8Array): string {
  const texts: string[] = [];
  for (let at = 0; at < nonces.length; at += NONCE_BYTES) {
    const following = readU32(nonces, at + NONCE.following);
    const nonce = `${readU64(nonces, at + NONCE.nonce)}${following > 0 ? `+${following}` : ""}`;
    texts.push(`${readU32(nonces, at + NONCE.index)}=${short(nonces, at + NONCE.sender)}#${nonce}`);
  }
  return texts.join(" ");
}

function describeEntry(entry: Entry): string {
  switch (entry.kind) {
    case "genesis":
      return `genesis ${entry.map.ranges.length} ranges`;
    case "term":
      return `term ${entry.term} of ${entry.leader}`;
    case "run":
      return `run ${describeTransactions(entry.transactions)} nonces ${describeNonces(entry.nonces)}`;
    case "group":
      return [
        `${entry.index}: group of ${entry.participants.join()}${entry.whole ? " whole" : ""}`,
        `[${describeAccounts(entry.accounts)}] ${describeTransactions(entry.transactions)}`,
      ].join(" ");
    case "lock":
      return `${entry.index}: lock for ${entry.home}${entry.whole ? " whole" : ""} [${describeAccounts(entry.accounts)}]`;
    case "apply": {
      const misses = Array.from({ length: entry.misses.length / 4 }, (_, at) => readU32(entry.misses, at * 4));
      return `${entry.index}: apply ${place(entry.group)} writes ${describeCells(entry.writes)} misses ${misses.join()}`;
    }
    case "abort":
      return `${entry.index}: abort ${place(entry.group)}`;
    case "map":
      return `map ${entry.map.version} pins ${describePins(entry.map)}`;
    case "block":
      return `block ${entry.number}${entry.snapshot ? " snapshot" : ""} moves ${entry.moves.length}`;
    case "seal":
      return `seal ${entry.number} ${hexOf(entry.hash, 0, 3)}`;
  }
}

const describePins = ({ pins }: RangeMap): string =>
  pins.map(({ address, partition }) => `${address.slice(0, 4)}@${partition}`).join(" ");

export function describeLog(payload: Uint8Array): string {
  const { message } = decodeLogMessage(payload);
  const { partition, n, term, flush, entries } = message;
  return `log ${partition} n ${n} flush ${flush} term ${term}: ${entries.map(describeEntry).join(" | ")}`;
}

function describeRecord({ n, flush, transactions, settled, block }: OutRecord): string {
  const parts = [`${n} flush ${flush}`, ...(transactions.length > 0 ? [describeHashes(transactions)] : [])];
  for (const run of settled) parts.push(`settled of ${run.flush}: ${describeHashes(run.transactions)}`);
  if (block !== null) parts.push(`block ${block.entry.number}`);
  return parts.join(" ");
}

function describeHashes(records: Uint8Array): string {
  const names: string[] = [];
  for (let at = 0; at < records.length; at += txBytes(records, at))
    names.push(`${txIndex(records, at)}=${short(records, at + TX.hash)}`);
  return names.join(" ");
}

export function describeOut(payload: Uint8Array): string {
  const { partition, parts, body } = decodeOutMessage(payload);
  return parts > 1 ? `out ${partition} a part` : `out ${partition}: ${decodeOutRecords(body).map(describeRecord).join(" | ")}`;
}

/** Null for what says nothing to a reader. */
export function describeMessage(subject: string, payload: Uint8Array): string | null {
  const [family, kind] = subject.split(".");
  if (family === "read") {
    const request = decodeReadRequest(payload);
    return request.op === "grant"
      ? `${subject} grant ${place(request.group)} ${request.request.length} bytes`
      : `${subject} ${request.op}`;
  }
  if (family !== "sched") return null;
  switch (kind) {
    case "submit":
      return `${subject} ${describeHashes(payload)}`;
    case "misses": {
      const { partition, block, first, missed } = decodeMisses(payload);
      const texts = missed.map(({ flush, touch }) => `${flush}/${describeTouches(touch)}`);
      return `misses of ${partition} in block ${block} from ${first}: ${texts.join(", ")}`;
    }
    case "proposal": {
      const { home, group, touches, writes } = decodeGroupProposal(payload);
      return `proposal of ${home} for ${place(group)}: ${describeTouches(touches)} writes for ${writes.map(([to]) => to).join()}`;
    }
    case "admin":
      return `admin ${decodeAdminRequest(payload).op}`;
    case "report": {
      const { partition, n, settledN, misses, groups, handOvers } = decodeReport(payload);
      const open = groups.map(({ group, held }) => `${place(group)}${held ? " held" : ""}`).join();
      const written = handOvers === null ? "" : ` written out for block ${handOvers.block}`;
      return `report ${partition} n ${n} settled ${settledN} misses ${misses} groups ${open}${written}`;
    }
    case "beat": {
      const { term, flush, latest, open, draining, missesTaken } = decodeBeat(payload);
      const state = `${draining ? " draining" : ""} taken ${missesTaken.join(" ")}`;
      return `beat ${term} flush ${flush} latest ${latest.number} open ${open.number}${state}`;
    }
    default:
      return null;
  }
}

export const describeReply = (payload: Uint8Array): string => {
  const reply = decodeAdminReply(payload);
  return reply.op === "failed" ? reply.text : reply.op;
};
