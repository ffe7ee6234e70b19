/**
 * The bodies of the requests, signed: what k6 posts as it is.
 *
 * A file of bodies has one slot of `slotBytes` for each request: u32 length, little-endian, then the body.
 */
import { type Fees, type TestAccount, rlpNumber, signBatch, signBytes } from "@meridian/launcher";
import { type LoadPlan, nonceOf, senderOf } from "./plan.ts";
import type { Call, Scenario } from "./scenarios/scenario.ts";

export const LENGTH_BYTES = 4;
export const ID_BYTES = 32;
/** Of a signed single transaction, beside its calldata: fields, signature, headers. */
const SINGLE_BYTES = 230;
/** Of a call in a signed batch, beside its calldata. */
const CALL_BYTES = 44;
const BATCH_BYTES = 160;
const HEADER_BYTES = 16;
const JSON_BEFORE = '"method":"eth_sendRawTransaction","params":["0x';
const JSON_BYTES = 96;
/** msgpack: array of three; the body's version is the first of them. */
const BODY_START = [0x93, 0x01] as const;
const ARRAY_32 = 0xdd;
const BIN_32 = 0xc6;

export interface BodyOptions {
  plan: LoadPlan;
  chainId: number;
  fees: Fees;
  /** Binary bodies: whether the answer streams the receipts. */
  isWaiting: boolean;
}

/** Room that any request of the plan fits into. */
export function slotBytesOf({ mode, units, signedCalls }: LoadPlan, dataBytesMax: number): number {
  const batch = BATCH_BYTES + signedCalls * (dataBytesMax + CALL_BYTES);
  const single = SINGLE_BYTES + dataBytesMax;
  const unit = mode === "batches" ? batch : mode === "jsonrpc" ? 2 * single + JSON_BYTES : single;
  return LENGTH_BYTES + HEADER_BYTES + units * (unit + 5);
}

/**
 * Writes the body of a request with its length before it.
 * @param ids takes the hash of each unit of this request, 32 bytes each: of a single transaction, or the id of a batch
 * @returns bytes written
 */
export function writeSlot(
  target: Buffer,
  request: number,
  scenario: Scenario,
  { plan, chainId, fees, isWaiting }: BodyOptions,
  ids: Uint8Array,
): number {
  const isJson = plan.mode === "jsonrpc";
  const calls = new Uint8Array(plan.signedCalls * (scenario.dataBytesMax + CALL_BYTES));
  let at = LENGTH_BYTES;
  if (isJson)
    target[at++] = 0x5b; // [
  else at = writeHeader(target, at, plan.units, isWaiting);
  for (let index = 0; index < plan.units; index++) {
    const unit = request * plan.units + index;
    const { raw, id } = signUnit(scenario, plan, chainId, fees, unit, calls);
    ids.set(id, index * ID_BYTES);
    at = isJson ? writeJson(target, at, index, raw) : writeBinary(target, at, raw);
  }
  if (isJson) target[at++] = 0x5d; // ]
  target.writeUInt32LE(at - LENGTH_BYTES, 0);
  return at;
}

function signUnit(
  scenario: Scenario,
  plan: LoadPlan,
  chainId: number,
  fees: Fees,
  unit: number,
  calls: Uint8Array,
): { raw: Uint8Array; id: Uint8Array } {
  const sender = senderOf(plan, unit);
  const account = scenario.senders[sender] as TestAccount;
  const nonce = nonceOf(plan, unit);
  const first = unit * plan.signedCalls;
  if (plan.mode !== "batches") {
    const { raw, hash: id } = signBytes(chainId, account, { nonce, valueWei: 0n, ...scenario.call(first, sender) }, fees);
    return { raw, id };
  }
  let at = 0;
  for (let call = 0; call < plan.signedCalls; call++) at = writeCall(calls, at, scenario.call(first + call, sender));
  return signBatch(chainId, account, nonce, calls.subarray(0, at));
}

/** RLP of [to, value 0, gas, data]; data of at least 56 bytes. */
function writeCall(target: Uint8Array, start: number, { to, gasLimit, data }: Call): number {
  const gas = rlpNumber(gasLimit);
  const payload = 21 + 1 + gas.length + 2 + (data.length > 0xff ? 1 : 0) + data.length;
  let at = writeLength(target, start, 0xf7, payload);
  target[at++] = 0x94;
  target.set(to, at);
  at += to.length;
  target[at++] = 0x80;
  target.set(gas, at);
  at = writeLength(target, at + gas.length, 0xb7, data.length);
  target.set(data, at);
  return at + data.length;
}

/** RLP's header of 56 to 65,535 bytes. */
function writeLength(target: Uint8Array, start: number, base: number, length: number): number {
  let at = start;
  target[at++] = base + (length > 0xff ? 2 : 1);
  if (length > 0xff) target[at++] = length >> 8;
  target[at++] = length & 0xff;
  return at;
}

function writeHeader(target: Buffer, start: number, count: number, isWaiting: boolean): number {
  let at = start;
  for (const byte of BODY_START) target[at++] = byte;
  target[at++] = isWaiting ? 1 : 0;
  target[at++] = ARRAY_32;
  return target.writeUInt32BE(count, at);
}

function writeBinary(target: Buffer, start: number, raw: Uint8Array): number {
  target[start] = BIN_32;
  const at = target.writeUInt32BE(raw.length, start + 1);
  target.set(raw, at);
  return at + raw.length;
}

function writeJson(target: Buffer, start: number, id: number, raw: Uint8Array): number {
  const before = `${id === 0 ? "" : ","}{"jsonrpc":"2.0","id":${id},${JSON_BEFORE}`;
  const at = start + target.write(before, start, "latin1");
  const end = at + target.write(Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString("hex"), at, "latin1");
  return end + target.write('"]}', end, "latin1");
}
