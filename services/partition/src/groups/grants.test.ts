import { expect, test } from "vitest";
import { SUBJECT, decodeReadRequest, encodeReadReply, memoryServer } from "@meridian/bus";
import { emptyState, concatBytes, evenRangeMap, indexRanges, keyCount } from "@meridian/core";
import type { ReadReply, ReadRequest } from "@meridian/core";
import { TEST_CHAIN_ID, accountList, addressOf, fakeSlotCell, fakeSlotKey } from "@meridian/core/actor/testing";
import { ACTOR_LIMITS } from "../ports.ts";
import { Grants } from "./grants.ts";

const BEHIND: ReadReply = { op: "failed", failure: { code: "BEHIND", newest: 0 } };
const RESOLVED: ReadReply = { op: "failed", failure: { code: "RESOLVED" } };
const STOPPED: ReadReply = { op: "failed", failure: { code: "STOPPED", text: "gap" } };
const FOREIGN: ReadReply = { op: "failed", failure: { code: "FOREIGN", account: addressOf("f1") } };
const CELL = fakeSlotCell(addressOf("f1"), 7);
const GRANTED: ReadReply = { op: "grant", cells: CELL };

/** Partition 0 of two asks partition 1, which answers with these in turn, and with the last one from then on. */
async function fetch(replies: ReadReply[], missing = fakeSlotKey(addressOf("f1")), cellsMax = 10) {
  const server = memoryServer();
  const bus = server.connect();
  const requests: ReadRequest[] = [];
  bus.wire.subscribe(SUBJECT.read(1), (message) => {
    const request = decodeReadRequest(message.payload);
    const reply = replies[Math.min(requests.length, replies.length - 1)] ?? BEHIND;
    requests.push(request);
    message.respond(encodeReadReply(reply));
  });
  const state = { ...emptyState(0, TEST_CHAIN_ID), owners: indexRanges(evenRangeMap(2)) };
  const limits = { ...ACTOR_LIMITS, cellsMax, grantPauseMsMin: 1, grantPauseMsMax: 2 };
  const group = { position: { flush: 3, index: 0 }, accounts: accountList(["w f1", "c f2"]) };
  const ended = new AbortController();
  const grants = new Grants({ wire: bus.wire, clock: server.clock }, state, limits, group);
  const cells = await grants.fetch(missing, {}, ended);
  await bus.close();
  return { cells, requests, isEnded: ended.signal.aborted };
}

test.each<[what: string, replies: ReadReply[], asked: number, isGranted: boolean]>([
  ["granted", [GRANTED], 1, true],
  ["behind at first", [BEHIND, BEHIND, GRANTED], 3, true],
  ["stopped, busy with another map, then granted", [STOPPED, FOREIGN, GRANTED], 3, true],
  ["another cell than asked for", [{ op: "grant", cells: fakeSlotCell(addressOf("f3"), 7) }, GRANTED], 2, true],
  ["resolved", [BEHIND, RESOLVED], 2, false],
])("%s", async (_what, replies, asked, isGranted) => {
  const { cells, requests, isEnded } = await fetch(replies);
  expect(requests).toHaveLength(asked);
  expect(requests[0]).toMatchObject({ op: "grant", group: { flush: 3, index: 0 } });
  expect(cells).toEqual(isGranted ? CELL : null);
  expect(isEnded).toBe(!isGranted);
});

test("one owner's end of the group ends all questions; what is large is asked in parts; code without the lock", async () => {
  const slots = Array.from({ length: 5 }, () => fakeSlotKey(addressOf("f1")));
  const missing = concatBytes([...slots, fakeSlotKey(addressOf("f2"))]);
  const { cells, requests } = await fetch([BEHIND, BEHIND, BEHIND, RESOLVED], missing, 2);
  expect(cells).toBeNull();
  const first = requests.slice(0, 4).map((request) => ("request" in request ? [request.op, keyCount(request.request)] : []));
  expect(first).toEqual([
    ["grant", 2],
    ["grant", 2],
    ["grant", 1],
    ["cells", 1],
  ]);
  expect(requests.length).toBeLessThanOrEqual(8);
});
