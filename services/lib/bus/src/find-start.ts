import { IoError } from "@meridian/core";
import type { Clock } from "@meridian/core";
import { decodeStored } from "./chain.ts";
import { partitionOf } from "./names.ts";
import { readUntil } from "./read-until.ts";
import type { StoredMessage, Stream } from "./stream.ts";

/**
 * The stream sequence from which message `n` of a log is the first to come. Sequences of one subject have gaps, so it is
 * searched for: by interpolation, which is right at once for logs that grow evenly, and by halving in between, which bounds it.
 * @param tail the subject's last message; if `n` is behind it, the sequence right after it
 * @throws IoError GAP if message `n` is gone
 */
export async function findStart(stream: Stream, clock: Clock, subject: string, n: number, tail: StoredMessage): Promise<number> {
  // Up to the tail there is always a next one: a replica that knows none lags behind.
  const next = (sequence: number) =>
    readUntil(
      clock,
      () => stream.next(subject, sequence),
      (found) => found !== undefined,
    );
  // Message `n` has a sequence in [low.sequence, high.sequence]; `high` itself stands at or behind its sequence.
  let high = { n: decodeStored(tail).message.n, sequence: tail.sequence };
  if (n === high.n) return high.sequence;
  if (n > high.n) return high.sequence + 1;
  const first = await next(1);
  let low = first === undefined ? high : { n: decodeStored(first).message.n, sequence: first.sequence };
  const gone = () =>
    new IoError({ code: "GAP", partition: partitionOf(subject), expected: n, got: low.n > n ? low.n : high.n }, "never");
  if (low.n > n) throw gone();
  for (let step = 0; low.n !== n; step++) {
    const room = high.sequence - low.sequence;
    if (room <= 1) throw gone();
    const share = step % 2 === 0 ? (n - low.n) / (high.n - low.n) : 0.5;
    const guess = low.sequence + Math.min(room - 1, Math.max(1, Math.floor(room * share)));
    const found = await next(guess);
    if (found === undefined) throw gone();
    const foundN = decodeStored(found).message.n;
    // All of the subject's messages from `guess` on have at least `foundN`.
    if (foundN > n) high = { n: foundN, sequence: guess };
    else low = { n: foundN, sequence: found.sequence };
  }
  return low.sequence;
}
