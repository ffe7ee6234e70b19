/**
 * Changes of the range map by hand-over. One at a time.
 *
 * M1. The block that closes next names the ranges that move. From its append on nothing is sequenced until the map is appended or
 *     the move is given up.
 * M2. The map goes out alone, when every range is written out as of that block and no request for nonces is under way: what an
 *     owner answers is never older than the map.
 * M3. A move that takes longer than `moveMs` is given up: no map, everything stays where it is.
 */
import { hexOf } from "../bytes.ts";
import type { HandOver, MovedRange } from "../entries.ts";
import type { AdminReply, AdminRequest, Report } from "../messages.ts";
import type { RangeMap } from "../ranges.ts";
import { indexRanges } from "../ranges.ts";
import { changeMap } from "./map-change.ts";
import type { Sequencer } from "./state.ts";

export interface Moving {
  readonly map: RangeMap; // from then on
  readonly moves: MovedRange[];
  /** The block whose entry names the moves; null until that is appended. */
  block: number | null;
  deadline: number; // ms; Infinity until then
  /** By move; null until its owner has said that it is written out. */
  readonly handOvers: (HandOver | null)[];
}

/** The map after these moves; one address alone is a pin, or, if it goes back to its range, no pin any more. */
export function mapAfter(map: RangeMap, moves: readonly MovedRange[]): RangeMap {
  let changed = map;
  for (const { first, last, to } of moves) {
    if (first !== last) changed = changeMap(changed, { kind: "move", first, last, to });
    else if (ownerInRange(changed, first) === to) changed = changeMap(changed, { kind: "unpin", address: first });
    else changed = changeMap(changed, { kind: "pin", address: first, partition: to });
  }
  return { ...changed, version: map.version + 1 };
}

const ownerInRange = (map: RangeMap, address: string): number | undefined =>
  map.ranges.findLast(({ first }) => first <= address)?.partition;

export function openMoving(map: RangeMap, moves: MovedRange[], block: number | null, deadline: number): Moving {
  return { map: mapAfter(map, moves), moves, block, deadline, handOvers: moves.map(() => null) };
}

/** True while nothing is sequenced because ranges are being handed over. */
export const isHeldUp = ({ moving }: Sequencer): boolean => moving !== null && moving.block !== null;

/** True if the map can be appended (M2). */
export const isMapDue = ({ moving, partitions }: Sequencer): boolean =>
  moving !== null &&
  moving.handOvers.every((handOver) => handOver !== null) &&
  partitions.lanes.every(({ asking }) => asking.length === 0);

/** Takes an administrator's request. */
export function takeAdmin(sequencer: Sequencer, request: AdminRequest): AdminReply {
  const { map } = sequencer.ranges;
  if (request.op === "map") return { op: "map", map, moving: sequencer.moving !== null };
  const failed = (text: string): AdminReply => ({ op: "failed", text });
  if (sequencer.moving !== null) return failed("another change of the map is under way");
  if (request.address.length !== 20) return failed("an address has 20 bytes");
  const address = hexOf(request.address);
  const to = request.partition ?? ownerInRange(map, address);
  if (to === undefined || !map.partitions.some(({ id }) => id === to)) return failed(`there is no partition ${String(to)}`);
  const from = sequencer.ranges.ownerOf(request.address, 0);
  if (from === to) return failed(`partition ${to} owns 0x${address} already`);
  return startMove(sequencer, [{ from, to, first: address, last: address }]);
}

/** Lets ranges move with the next block. */
export function startMove(sequencer: Sequencer, moves: MovedRange[]): AdminReply {
  const moving = openMoving(sequencer.ranges.map, moves, null, Number.POSITIVE_INFINITY);
  indexRanges(moving.map); // Asserts that it is a map.
  sequencer.moving = moving;
  return { op: "moving", version: moving.map.version };
}

/** The block that names the moves is in LOG. */
export function beginHandOver({ moving, limits }: Sequencer, block: number, now: number): void {
  if (moving?.block !== block) return;
  moving.deadline = now + limits.moveMs;
}

/** Takes what a report says of ranges written out. */
export function noteHandOvers({ moving }: Sequencer, { partition, handOvers }: Report): void {
  if (moving === null || handOvers === null || handOvers.block !== moving.block) return;
  moving.moves.forEach((move, index) => {
    if (move.from !== partition) return;
    const found = handOvers.ranges.find(({ to, first, last }) => to === move.to && first === move.first && last === move.last);
    moving.handOvers[index] = found ?? moving.handOvers[index]!;
  });
}

/** Gives a move up that takes too long (M3). */
export function tickMoves(sequencer: Sequencer, now: number): void {
  const { moving } = sequencer;
  if (moving === null || now < moving.deadline || sequencer.flight?.map === moving.map) return;
  sequencer.moving = null;
  sequencer.effects.push({ kind: "moveFailed", version: moving.map.version });
}
