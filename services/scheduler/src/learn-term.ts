/** What a new leader reads after its `term` entry stands in LOG: as little of it as tells everything (core's learn.ts). */
import { IoError, RULES_VERSION, assert, isIoError, learnChain, openRecentHashes, reachesSeal } from "@meridian/core";
import type { Bus, LogEnd, LogMessage, LogWriter, PartitionId, RangeMap, SequencerLimits, SequencerStart } from "@meridian/core";

/** Messages of the first look; each further one takes four times as many. */
const FIRST_MESSAGES = 32;
/** Logs read at the same time. */
const READS_MAX = 8;

/**
 * @returns the start of the term, but for what the caller knows itself; undefined if another one has taken over since
 * @throws IoError LOG_TOO_SHORT | RULES_UNKNOWN | MAP_MISSING
 */
export async function learnTerm(
  bus: Bus,
  writer: LogWriter,
  limits: SequencerLimits,
  now: number,
): Promise<Omit<SequencerStart, "limits" | "term" | "blockMs" | "seed" | "rules"> | undefined> {
  const tails = await bus.log.tails();
  const [first, ...others] = tails.toSorted((left, right) => left.partition - right.partition);
  if (first === undefined) throw new IoError({ code: "LOG_EMPTY" }, "never");
  const ends: LogEnd[] = [await readBack(bus, first, reachesSeal)];
  for (let start = 0; start < others.length; start += READS_MAX) {
    ends.push(...(await Promise.all(others.slice(start, start + READS_MAX).map((tail) => readBack(bus, tail, reachesSeal)))));
  }
  if (ends.some(({ messages }) => (messages.at(-1)?.term ?? 0) > writer.term)) return undefined;
  const recent = openRecentHashes(limits.recentHashesMax);
  const learned = learnChain(ends, recent, limits, now);
  // 0: no block has closed yet.
  if (learned.rulesVersion !== 0 && learned.rulesVersion !== RULES_VERSION) {
    throw new IoError({ code: "RULES_UNKNOWN", rules: learned.rulesVersion, known: RULES_VERSION }, "never");
  }
  assert(learned.flush === writer.flush, `LOG ends with flush ${learned.flush}, the writer with ${writer.flush}`);
  const map = learned.map ?? (await findMap(bus, first, learned.mapVersion));
  const { flush, positions, blocks, work, moves } = learned;
  return { map, flush, positions, blocks, recent, work, moves };
}

/** The last messages of one log, as many as `isEnough` wants. */
async function readBack(bus: Bus, tail: LogMessage, isEnough: (messages: LogMessage[]) => boolean): Promise<LogEnd> {
  const { partition } = tail;
  let firstN = 1; // that is still there, as far as known
  for (let count = FIRST_MESSAGES; ; count *= 4) {
    const fromN = Math.max(firstN, tail.n - count + 1);
    try {
      const messages = await bus.log.readToEnd(partition, fromN, tail.n);
      if (isEnough(messages)) return { partition, messages };
      if (fromN === firstN) throw new IoError({ code: "LOG_TOO_SHORT", partition, fromN, n: tail.n }, "never");
    } catch (error) {
      firstN = firstKept(error, partition, fromN);
    }
  }
}

/** First message that is still there, from the refusal to read further back; throws everything else. */
function firstKept(error: unknown, partition: PartitionId, fromN: number): number {
  if (!isIoError(error, "GAP")) throw error;
  const { got } = error.detail as { code: string; got?: number };
  if (got === undefined || got <= fromN) throw error;
  return got;
}

/** The map of this version: the published copy if it is the one, else the entry in the log. */
async function findMap(bus: Bus, tail: LogMessage, version: number): Promise<RangeMap> {
  const published = await bus.settings.getMap();
  if (published?.version === version) return published;
  const { messages } = await readBack(bus, tail, (read) => mapIn(read) !== undefined);
  const map = mapIn(messages);
  if (map?.version !== version) throw new IoError({ code: "MAP_MISSING", version, found: map?.version ?? 0 }, "never");
  return map;
}

function mapIn(messages: LogMessage[]): RangeMap | undefined {
  const entries = messages.flatMap((message) => message.entries);
  const last = entries.findLast((entry) => entry.kind === "map" || entry.kind === "genesis");
  return last?.kind === "map" || last?.kind === "genesis" ? last.map : undefined;
}
