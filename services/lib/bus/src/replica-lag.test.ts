/** What a replica answers that lags behind the one that stores. */
import type { Entry, OutRecord } from "@meridian/core";
import { assert } from "@meridian/core";
import { expect, test } from "vitest";
import { memoryServer } from "./memory/memory-server.ts";

const NOTHING = new Uint8Array(0);
const TERM: Entry = { kind: "term", index: 0, term: 0, leader: "one" };
const record = (n: number): OutRecord => ({
  ...{ n, flush: n, transactions: NOTHING, results: NOTHING, settled: [], block: null, genesis: null, map: null },
});

/** A server whose replicas have nothing yet when they are asked the next `times`. */
function lagging() {
  const server = memoryServer();
  const lag = (times: number) => {
    let left = times;
    server.faults.replicaEnd = () => (left-- > 0 ? 0 : Infinity);
  };
  return { lag, bus: server.connect(), other: server.connect() };
}

test("a new leader reads up to what it knows to be there", async () => {
  const { bus, lag } = lagging();
  await bus.log.begin([{ partition: 0, entries: [TERM] }]);
  lag(3);
  expect((await bus.log.readToEnd(0, 1, 1)).map(({ n }) => n)).toEqual([1]);
});

test("the log is read from where it was left, though the search for it meets a replica without it", async () => {
  const { bus, lag } = lagging();
  await bus.log.begin([{ partition: 0, entries: [TERM] }]);
  const taken = await bus.log.takeOver("one", [0]);
  assert("writer" in taken, "nobody else takes over in a test");
  for (let flush = 3; flush < 6; flush++) await taken.writer.append(flush, [{ partition: 0, entries: [TERM] }]);
  lag(2);
  const ended = new AbortController();
  const after = { n: 2, flush: 2, hash: NOTHING };
  const read = async () => {
    for await (const batch of bus.log.read(0, after, { bytesMax: 1, signal: ended.signal })) return batch;
    return [];
  };
  // The hash is none of the log's, which shows that the third message was found.
  await expect(read()).rejects.toMatchObject({ detail: { code: "CHAIN_BROKEN", n: 3 } });
});

test("a partition that goes on waits until it sees what it has published", async () => {
  const { bus, other, lag } = lagging();
  await bus.out.publish(0, [record(1), record(2)]);
  lag(2);
  await other.out.publish(0, [record(3)]);
  lag(2);
  expect(await other.out.lastN(0, 3)).toBe(3);
});
