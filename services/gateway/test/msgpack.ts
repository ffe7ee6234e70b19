/** Reads MessagePack values that stand one behind the other, as a client of any language would: from the specification. */
import { assert } from "@meridian/core";

export function unpackValues(bytes: Uint8Array): unknown[] {
  const reader = new Reader(bytes);
  const values: unknown[] = [];
  while (!reader.isDone()) values.push(reader.value());
  return values;
}

class Reader {
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  isDone(): boolean {
    return this.#at === this.#view.byteLength;
  }

  value(): unknown {
    const kind = this.#number(1);
    if (kind < 0x80) return kind;
    if (kind >= 0xe0) return kind - 256;
    if (kind >>> 4 === 9) return this.#list(kind & 15);
    if (kind >>> 5 === 5) return this.#text(kind & 31);
    switch (kind) {
      case 0xc0:
        return null;
      case 0xc4:
        return this.#bin(this.#number(1));
      case 0xc5:
        return this.#bin(this.#number(2));
      case 0xc6:
        return this.#bin(this.#number(4));
      case 0xcb:
        return this.#view.getFloat64((this.#at += 8) - 8);
      case 0xcc:
        return this.#number(1);
      case 0xcd:
        return this.#number(2);
      case 0xce:
        return this.#number(4);
      case 0xd1:
        return this.#view.getInt16((this.#at += 2) - 2);
      case 0xd9:
        return this.#text(this.#number(1));
      case 0xda:
        return this.#text(this.#number(2));
      case 0xdc:
        return this.#list(this.#number(2));
    }
    assert(false, `kind ${kind} is not expected here`);
  }

  #number(bytes: 1 | 2 | 4): number {
    const at = this.#at;
    this.#at += bytes;
    return bytes === 1 ? this.#view.getUint8(at) : bytes === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #bin(length: number): Uint8Array {
    const start = this.#view.byteOffset + (this.#at += length) - length;
    return new Uint8Array(this.#view.buffer.slice(start, start + length));
  }

  #text(length: number): string {
    return Buffer.from(this.#bin(length)).toString("utf8");
  }

  #list(length: number): unknown[] {
    return Array.from({ length }, () => this.value());
  }
}
