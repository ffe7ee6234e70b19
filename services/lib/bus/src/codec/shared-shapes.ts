/** Shapes that several messages share. */
import {
  ACCOUNT_CELL_BYTES,
  CELL,
  CODE_CELL_HEADER_BYTES,
  DECLARED_BYTES,
  NONCE_CELL_BYTES,
  RESULT,
  SLOT_CELL_BYTES,
  TOUCH,
  TX_HEADER_BYTES,
  readU32,
  touchCount,
} from "@meridian/core";
import type { HandOver, MovedRange, OpenedBlock, Position, RangeMap } from "@meridian/core";
import type { Fields, LengthAt, Shape } from "./shapes.ts";
import { bytesOf, list, malformed, nullable, packedBy, packedOf, packedOne, record, text, unsigned } from "./shapes.ts";

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

export const position: Shape<Position> = record<Position>({ flush: unsigned, index: unsigned });

/** Packed (u8 mode, b20 address)*. */
export const accountModes = packedOf(DECLARED_BYTES);

const movedFields: Fields<MovedRange> = { from: unsigned, to: unsigned, first: address, last: address };
export const movedRange: Shape<MovedRange> = inOrder(record<MovedRange>(movedFields));
export const handOver: Shape<HandOver> = inOrder(
  record<HandOver>({
    ...movedFields,
    chunks: list(record<HandOver["chunks"][number]>({ object: text, sha256: text, bytes: unsigned })),
  }),
);

function inOrder<T extends MovedRange>(shape: Shape<T>): Shape<T> {
  return {
    write: (value) => shape.write(value),
    read: (packed, path) => {
      const moved = shape.read(packed, path);
      if (moved.first > moved.last || moved.from === moved.to) malformed(path, "first <= last and two partitions");
      return moved;
    },
  };
}

/** Transactions, results and touch records start with their own length. */
function lengthOf(bytesMin: number): LengthAt {
  return (value, at) => {
    const length = at + bytesMin <= value.length ? readU32(value, at) : 0;
    return length >= bytesMin ? length : 0;
  };
}
const anyTouchLength = lengthOf(TOUCH.accounts);
function touchLength(value: Uint8Array, at: number): number {
  const length = anyTouchLength(value, at);
  return length > 0 && length === TOUCH.accounts + touchCount(value, at) * DECLARED_BYTES ? length : 0;
}
function cellLength(value: Uint8Array, at: number): number {
  switch (value[at]) {
    case CELL.account:
      return ACCOUNT_CELL_BYTES;
    case CELL.nonce:
      return NONCE_CELL_BYTES;
    case CELL.slot:
      return SLOT_CELL_BYTES;
    case CELL.code:
      return at + CODE_CELL_HEADER_BYTES > value.length ? 0 : CODE_CELL_HEADER_BYTES + readU32(value, at + 21);
    case CELL.erased:
      return 21;
    default:
      return 0;
  }
}

export const packedTransaction = packedOne("transaction", lengthOf(TX_HEADER_BYTES));
export const packedResults = packedBy("results", lengthOf(RESULT.output));
export const packedTouch = packedOne("touch record", touchLength);
export const packedTouches = packedBy("touch records", touchLength);
export const packedCells = packedBy("cells", cellLength);
