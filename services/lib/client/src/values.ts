/** MessagePack values that stand behind each other in a stream, as they become whole. */
import { valueAt } from "./msgpack.ts";
import type { Value } from "./msgpack.ts";

/** @returns the values of the stream in order; at its end whether it ends behind a value. @throws PostError */
export async function* valuesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Value, boolean> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of stream) {
    const joined = new Uint8Array(rest.length + chunk.length);
    joined.set(rest);
    joined.set(chunk, rest.length);
    let at = 0;
    for (let next = valueAt(joined, at); next !== null; next = valueAt(joined, at)) {
      at = next.end;
      yield next.value;
    }
    rest = joined.subarray(at);
  }
  return rest.length === 0;
}
