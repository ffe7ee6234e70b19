/** Calls that the archive is asked for: its keys (core's outcomes.ts), and beside each the input and its first call there. */
import { callNumber, concatBytes, OUTCOME_KEY, OUTCOME_KEY_BYTES, readU16, setCallNumber, writeU16 } from "@meridian/core";

export interface CallKeys {
  /** Packed outcome keys. */
  keys: Uint8Array;
  /** By the key's number: its input, and the number of its first call there. */
  inputs: Uint32Array;
  calls: Uint32Array;
  /** Calls of all keys. */
  count: number;
}

/** Calls of one key. */
export const callsOfKey = (keys: Uint8Array, key: number): number => readU16(keys, key * OUTCOME_KEY_BYTES + OUTCOME_KEY.count);

/** Makes keys of some of the calls of others. */
export class KeyWriter {
  readonly #from: CallKeys;
  readonly #keys: Uint8Array[] = [];
  readonly #inputs: number[] = [];
  readonly #calls: number[] = [];
  #count = 0;

  constructor(from: CallKeys) {
    this.#from = from;
  }

  /** Adds calls `start` to `end` of a key, counted from its own first one. */
  add(key: number, start: number, end: number): void {
    const { keys, inputs, calls } = this.#from;
    const part = keys.slice(key * OUTCOME_KEY_BYTES, (key + 1) * OUTCOME_KEY_BYTES);
    if (start > 0) setCallNumber(part, OUTCOME_KEY.hash, callNumber(part, OUTCOME_KEY.hash) + start);
    writeU16(part, OUTCOME_KEY.count, end - start);
    this.#keys.push(part);
    this.#inputs.push(inputs[key]!);
    this.#calls.push(calls[key]! + start);
    this.#count += end - start;
  }

  done(): CallKeys {
    const [inputs, calls] = [Uint32Array.from(this.#inputs), Uint32Array.from(this.#calls)];
    return { keys: concatBytes(this.#keys), inputs, calls, count: this.#count };
  }
}

/** The calls of `from` whose number, counted over all keys, is wanted. */
export function selectCalls(from: CallKeys, isWanted: (number: number) => boolean): CallKeys {
  const writer = new KeyWriter(from);
  for (let key = 0, number = 0; key < from.inputs.length; key++) {
    const count = callsOfKey(from.keys, key);
    let since = -1;
    for (let call = 0; call < count; call++, number++) {
      if (isWanted(number)) {
        if (since < 0) since = call;
        continue;
      }
      if (since >= 0) writer.add(key, since, call);
      since = -1;
    }
    if (since >= 0) writer.add(key, since, count);
  }
  return writer.done();
}
