/** What the answers about single transactions mean for the inputs they came in. Only where something was refused. */
import { assert, isIoError, SUBMIT, txOffsets } from "@meridian/core";
import { refusedFor, submitRefusal } from "../ingest/refusals.ts";
import type { Backend } from "../methods/method.ts";
import type { RpcError } from "../rpc/errors.ts";
import { selectRecords } from "../submit/records.ts";
import type { Verdicts } from "../submit/submitter.ts";
import type { Refusal } from "./answer.ts";
import { blockAt, OUTCOME_WORDS } from "./followed.ts";
import { callsOfKey, selectCalls } from "./keys.ts";
import type { CallKeys } from "./keys.ts";

/** Packed records, and the key of each. */
export interface Sent {
  records: Uint8Array;
  calls: CallKeys;
}

/** Leaves out all records of the inputs that have a refused one. @param errors  by the record's number */
export function keepBack(
  records: Uint8Array,
  calls: CallKeys,
  errors: ReadonlyMap<number, RpcError>,
): Sent & { refusals: Refusal[] } {
  const refusals: Refusal[] = [];
  const kept = new Set<number>();
  for (let key = 0, first = 0; key < calls.inputs.length; key++) {
    const count = callsOfKey(calls.keys, key);
    const numbers = Array.from({ length: count }, (_, call) => first + call);
    const call = numbers.findIndex((number) => errors.has(number));
    const error = call < 0 ? undefined : errors.get(first + call);
    if (error !== undefined) {
      for (const number of numbers) kept.add(number);
      const named = count > 1 ? refusedFor(call, error) : error;
      refusals.push({ input: calls.inputs[key]!, call, calls: 0, error: named, details: [] });
    }
    first += count;
  }
  const isSent = (number: number) => !kept.has(number);
  return { records: selectRecords(records, isSent), calls: selectCalls(calls, isSent), refusals };
}

/** Codes whose detail is a number that the client can use. */
const TELLING: readonly number[] = [
  SUBMIT.nonceTooLow,
  SUBMIT.nonceTooHigh,
  SUBMIT.senderLimit,
  SUBMIT.partitionFull,
  SUBMIT.partitionSilent,
  SUBMIT.gasLimit,
];

/** One refusal for calls of an input that stand next to each other, with the words for the first of them. */
export function refusalsOf(
  { records, calls }: Sent,
  { codes, details }: Verdicts,
  isAccepted: (number: number) => boolean,
): Refusal[] {
  const offsets = txOffsets(records);
  const refusals: Refusal[] = [];
  for (let key = 0, number = 0; key < calls.inputs.length; key++) {
    const end = number + callsOfKey(calls.keys, key);
    let run: Refusal | null = null;
    for (let call = calls.calls[key]!; number < end; number++, call++) {
      const [code, detail] = [codes[number]!, details[number]!];
      if (isAccepted(number)) run = null;
      else if (run !== null) run.calls++;
      else {
        const error = submitRefusal(code, detail, records, offsets[number]!);
        assert(error !== null, "a refused call has no error");
        run = { input: calls.inputs[key]!, call, calls: 1, error, details: TELLING.includes(code) ? [detail] : [] };
        refusals.push(run);
      }
    }
  }
  return refusals;
}

/**
 * A nonce that is too low may be this very call's own: the client sends it again because the first answer was lost, so long ago
 * that the scheduler has forgotten. The archive has not.
 * @returns numbers of those that stand in a block
 */
export async function takenBefore(calls: CallKeys, codes: Uint8Array, { archive, view }: Backend): Promise<Set<number>> {
  const taken = new Set<number>();
  const numbers = [...codes.keys()].filter((number) => codes[number] === SUBMIT.nonceTooLow);
  if (numbers.length === 0) return taken;
  const wanted = new Set(numbers);
  try {
    const { keys } = selectCalls(calls, (number) => wanted.has(number));
    const found = await archive.outcomes(keys, view.latest()?.number ?? 0);
    if ("error" in found) return taken;
    numbers.forEach((number, index) => blockAt(found.value, index * OUTCOME_WORDS) >= 0 && taken.add(number));
  } catch (error) {
    if (!isIoError(error)) throw error; // Without an archive the scheduler's answer stands.
  }
  return taken;
}
