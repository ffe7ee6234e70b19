/** What the operator's command prints of a range map. */
import { type RangeMap, bytesOfHex, hexOf, ownedBy } from "@meridian/core";
import { table } from "../demo/texts.ts";

/** Ranges, pins and partitions as tables. */
export function mapText(map: RangeMap, isMoving: boolean): string {
  const ranges = map.partitions.flatMap(({ id }) =>
    ownedBy(map, id).ranges.map(({ first, last }) => ({ first: hexOf(first), last: hexOf(last), id })),
  );
  const inOrder = ranges.toSorted((left, right) => (left.first < right.first ? -1 : 1));
  const rangeRows = inOrder.map(({ first, last, id }) => [`0x${first}`, `0x${last}`, `${id}`]);
  const pinRows = map.pins.map(({ address, partition }) => [`0x${address}`, `${partition}`]);
  const partitionRows = map.partitions.map(({ id }) => {
    const own = inOrder.filter((range) => range.id === id);
    const share = own.reduce((sum, { first, last }) => sum + shareOf(first, last), 0);
    return [`${id}`, own.length, `${(100 * share).toFixed(1)} %`, map.pins.filter(({ partition }) => partition === id).length];
  });
  return [
    `Map version ${map.version}${isMoving ? "; a change is under way" : ""}`,
    "",
    table([["range from", "to", "partition"], ...rangeRows]),
    "",
    pinRows.length === 0 ? "  no pins" : table([["pinned account", "partition"], ...pinRows]),
    "",
    table([["partition", "ranges", "share", "pins"], ...partitionRows]),
  ].join("\n");
}

/** Of the address space, by the first four bytes. */
function shareOf(first: string, last: string): number {
  const start = (address: string) => new DataView(bytesOfHex(address).buffer).getUint32(0);
  return (start(last) + 1 - start(first)) / 2 ** 32;
}
