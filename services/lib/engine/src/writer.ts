/** Writes the packed requests of the boundary. */
import { writeU16, writeU32, writeU64 } from "@meridian/core";

export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  u8(value: number): this {
    const at = this.#grow(1); // Before the buffer is looked at: growing replaces it.
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    writeU16(this.#bytes, at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    writeU32(this.#bytes, at, value);
    return this;
  }

  u64(value: number): this {
    const at = this.#grow(8);
    writeU64(this.#bytes, at, value);
    return this;
  }

  f64(value: number): this {
    const at = this.#grow(8);
    new DataView(this.#bytes.buffer).setFloat64(at, value, true);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** A part whose length is not fixed: u32 length, bytes. */
  part(value: Uint8Array): this {
    return this.u32(value.length).bytes(value);
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes room and returns where it starts. */
  #grow(length: number): number {
    const at = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }
}
