/**
 * Shapes: one declaration a message, from which writing, reading and checking follow. A record becomes an array of its fields
 * in the declared order, a variant an array that starts with its tag. The compiler refuses a shape that does not fit its type.
 */
import { IoError, assert } from "@meridian/core";
import { plainBytes } from "../payload.ts";

/** How a value of one type stands in a message. `read` checks everything; what it returns needs no further look. */
export interface Shape<T> {
  write(value: T): unknown;
  /** @throws IoError MALFORMED naming the field */
  read(packed: unknown, path: string): T;
}
/** A field that may be left out; written as nil. */
export interface OptionalShape<T> extends Shape<T> {
  isOptional: true;
}

export function malformed(path: string, want: string): never {
  throw new IoError({ code: "MALFORMED", field: path, want }, "never");
}

/** A whole number from 0 to 2^53 - 1. */
export const unsigned: Shape<number> = {
  write: (value) => {
    assert(Number.isSafeInteger(value) && value >= 0, `${value} is no unsigned number below 2^53`);
    return value;
  },
  read: (packed, path) => (isUnsigned(packed) ? packed : malformed(path, "a whole number from 0 to 2^53 - 1")),
};
const isUnsigned = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** A block: a number, or -1 for the present state. */
export const blockOrPending: Shape<number> = {
  write: (value) => value,
  read: (packed, path) => (packed === -1 ? -1 : unsigned.read(packed, path)),
};

/** Any finite number; for measurements. */
export const measure: Shape<number> = {
  write: (value) => value,
  read: (packed, path) => (typeof packed === "number" && Number.isFinite(packed) ? packed : malformed(path, "a number")),
};

export const text: Shape<string> = {
  write: (value) => value,
  read: (packed, path) => (typeof packed === "string" ? packed : malformed(path, "a text")),
};

export const flag: Shape<boolean> = {
  write: (value) => value,
  read: (packed, path) => (typeof packed === "boolean" ? packed : malformed(path, "true or false")),
};

/** Bytes, read as a plain view into the message (a Buffer's `slice` would not copy, so none is handed out). */
export const bytes: Shape<Uint8Array> = {
  write: (value) => value,
  read: (packed, path) => (packed instanceof Uint8Array ? plainBytes(packed) : malformed(path, "bytes")),
};

/** Bytes of one length. */
export function bytesOf(length: number): Shape<Uint8Array> {
  return {
    write: (value) => {
      assert(value.length === length, `${value.length} bytes instead of ${length}`);
      return value;
    },
    read: (packed, path) => {
      const value = bytes.read(packed, path);
      return value.length === length ? value : malformed(path, `${length} bytes`);
    },
  };
}

/** Packed records of one fixed length behind each other. */
export function packedOf(recordBytes: number): Shape<Uint8Array> {
  return {
    write: (value) => value,
    read: (packed, path) => {
      const value = bytes.read(packed, path);
      return value.length % recordBytes === 0 ? value : malformed(path, `records of ${recordBytes} bytes`);
    },
  };
}

/** Length of the packed record at an offset, as the bytes there tell it; 0 if they cannot be such a record. */
export type LengthAt = (value: Uint8Array, at: number) => number;

/** Packed records of different lengths behind each other: whoever walks them comes to their end. */
export function packedBy(what: string, lengthAt: LengthAt): Shape<Uint8Array> {
  return {
    write: (value) => value,
    read: (packed, path) => {
      const value = bytes.read(packed, path);
      for (let at = 0; at < value.length;) {
        const length = lengthAt(value, at);
        if (length === 0 || at + length > value.length) return malformed(path, `packed ${what} (byte ${at})`);
        at += length;
      }
      return value;
    },
  };
}

/** Exactly one packed record. */
export function packedOne(what: string, lengthAt: LengthAt): Shape<Uint8Array> {
  return {
    write: (value) => value,
    read: (packed, path) => {
      const value = bytes.read(packed, path);
      return value.length > 0 && lengthAt(value, 0) === value.length ? value : malformed(path, `one packed ${what}`);
    },
  };
}

/** 64-bit floats as little-endian bytes. */
export const floats: Shape<Float64Array> = {
  write: (value) => new Uint8Array(value.buffer, value.byteOffset, value.byteLength),
  read: (packed, path) => {
    const value = bytes.read(packed, path);
    if (value.length % 8 !== 0) malformed(path, "a multiple of 8 bytes");
    return new Float64Array(value.slice().buffer); // A copy: views of floats must be aligned.
  },
};

export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return {
    write: (value) => (value === null ? null : shape.write(value)),
    read: (packed, path) => (packed === null ? null : shape.read(packed, path)),
  };
}

export function optional<T>(shape: Shape<T>): OptionalShape<T> {
  return { ...shape, isOptional: true };
}

export function list<T>(shape: Shape<T>): Shape<T[]> {
  return {
    write: (values) => values.map((value) => shape.write(value)),
    read: (packed, path) => arrayOf(packed, path).map((value, index) => shape.read(value, `${path}[${index}]`)),
  };
}

export function pair<A, B>(first: Shape<A>, second: Shape<B>): Shape<[A, B]> {
  return {
    write: ([left, right]) => [first.write(left), second.write(right)],
    read: (packed, path) => {
      const [left, right] = arrayOf(packed, path, 2);
      return [first.read(left, `${path}[0]`), second.read(right, `${path}[1]`)];
    },
  };
}

/** One of a few texts. */
export function word<T extends string>(...words: readonly T[]): Shape<T> {
  return {
    write: (value) => value,
    read: (packed, path) => words.find((known) => known === packed) ?? malformed(path, words.join(" or ")),
  };
}

/** A shape for each field; fields that may be left out have an optional shape. */
export type Fields<T> = {
  [K in keyof T]-?: object extends Pick<T, K> ? OptionalShape<NonNullable<T[K]>> : Shape<T[K]>;
};

export function record<T extends object>(fields: Fields<T>): Shape<T> {
  const entries = Object.entries<Shape<unknown> | OptionalShape<unknown>>(fields);
  return {
    write: (value) => writeFields(entries, value as Record<string, unknown>),
    read: (packed, path) => readFields(entries, arrayOf(packed, path, entries.length), path, {}) as T,
  };
}

/** The fields of each variant, without its tag. */
export type Variants<T extends Record<K, string>, K extends string> = {
  [V in T[K]]: Fields<Omit<Member<T, K, V>, K>>;
};
/** The member of a union whose tag may be `V`; one member may have several tags. */
type Member<T, K extends string, V> = T extends Record<K, unknown> ? (V extends T[K] ? T : never) : never;

/** One of several records, told apart by the text in field `tag`. */
export function variant<T extends Record<K, string>, K extends string>(tag: K, variants: Variants<T, K>): Shape<T> {
  const shapes = new Map(
    Object.entries(variants).map(([name, fields]) => [name, Object.entries(fields as object) as [string, Shape<unknown>][]]),
  );
  return {
    write: (value) => {
      const name = value[tag];
      const fields = shapes.get(name);
      assert(fields !== undefined, `${tag} ${name} has no shape`);
      return [name, ...writeFields(fields, value)];
    },
    read: (packed, path) => {
      const [name, ...values] = arrayOf(packed, path);
      const fields = typeof name === "string" ? shapes.get(name) : undefined;
      if (fields === undefined) return malformed(`${path}.${tag}`, [...shapes.keys()].join(" or "));
      if (values.length !== fields.length) malformed(path, `${fields.length} fields`);
      return readFields(fields, values, path, { [tag]: name }) as T;
    },
  };
}

function writeFields(fields: [string, Shape<unknown>][], value: Record<string, unknown>): unknown[] {
  return fields.map(([name, shape]) => {
    const field = value[name];
    return field === undefined && "isOptional" in shape ? null : shape.write(field);
  });
}

function readFields(
  fields: [string, Shape<unknown>][],
  values: unknown[],
  path: string,
  result: Record<string, unknown>,
): object {
  fields.forEach(([name, shape], index) => {
    const field = values[index];
    if (field === null && "isOptional" in shape) return;
    result[name] = shape.read(field, `${path}.${name}`);
  });
  return result;
}

export function arrayOf(packed: unknown, path: string, length?: number): unknown[] {
  if (!Array.isArray(packed) || (length !== undefined && packed.length !== length)) {
    return malformed(path, length === undefined ? "a list" : `a list of ${length}`);
  }
  return packed;
}
