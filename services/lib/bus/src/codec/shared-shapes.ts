/** Shapes that several messages share. */
import type { OpenedBlock, RangeMap } from "@meridian/core";
import type { Shape } from "./shapes.ts";
import { bytesOf, list, malformed, nullable, record, text, unsigned } from "./shapes.ts";

export const hash = bytesOf(32);

/** An account in a range map: 40 lower-case hex digits. */
const address: Shape<string> = {
  write: (value) => value,
  read: (packed, path) => {
    const value = text.read(packed, path);
    return /^[0-9a-f]{40}$/.test(value) ? value : malformed(path, "40 lower-case hex digits");
  },
};

export const rangeMap: Shape<RangeMap> = record<RangeMap>({
  version: unsigned,
  ranges: list(record<RangeMap["ranges"][number]>({ first: address, partition: unsigned })),
  pins: list(record<RangeMap["pins"][number]>({ address, partition: unsigned })),
  partitions: list(
    record<RangeMap["partitions"][number]>({
      id: unsigned,
      origin: nullable(record<{ parent: number; n: number }>({ parent: unsigned, n: unsigned })),
    }),
  ),
});

export const openedBlock: Shape<OpenedBlock> = record<OpenedBlock>({
  number: unsigned,
  timestamp: unsigned,
  prevrandao: hash,
  gasLimit: unsigned,
});
