/** Cuts what a reader decodes into portions: compressed messages are small as they come, and large as they are handed on. */

/**
 * Decodes `items` one by one; hands them on as soon as they are about `bytesMax`, and what is left at the end.
 * @param bytesOf  of a decoded item
 */
export function* portions<T, U>(
  items: readonly T[],
  decode: (item: T) => U[],
  bytesOf: (decoded: U) => number,
  bytesMax: number,
): Generator<U[], void, undefined> {
  let portion: U[] = [];
  let bytes = 0;
  for (const item of items) {
    for (const decoded of decode(item)) {
      const size = bytesOf(decoded);
      if (portion.length > 0 && bytes + size > bytesMax) {
        yield portion;
        portion = [];
        bytes = 0;
      }
      portion.push(decoded);
      bytes += size;
    }
  }
  if (portion.length > 0) yield portion;
}
