/** The instance of the WebAssembly build on the engine's thread, and the memory that it shares with the one beside it. */
import { BugError } from "@meridian/core";
import type { Operation } from "./boundary.ts";
import { NOTHING } from "./boundary.ts";
import type { WasmGlobal, WasmMemory, WasmModule } from "./webassembly.ts";
import { Instance, Memory } from "./webassembly.ts";

/** 16 MiB, as linked; 4 GiB, the most that 32-bit addresses reach. */
const PAGES = { initial: 256, maximum: 65_536 };
/** Bytes of the answer's place: pointer and length. */
const ANSWER_BYTES = 8;
const SCRATCH_BYTES_MIN = 65_536;

interface Exports {
  start(): void;
  allocate(length: number): number;
  free(bytes: number, length: number): void;
  free_answer(bytes: number, length: number): void;
  panic_text(answer: number): void;
  perform(
    operation: number,
    handle: number,
    number: number,
    a: number,
    aLength: number,
    b: number,
    bLength: number,
    c: number,
    cLength: number,
    answer: number,
  ): void;
  __stack_pointer: WasmGlobal;
  __tls_size: WasmGlobal;
  __wasm_init_tls(storage: number): void;
}

/** What a second thread needs before it may run code on the same memory. */
export interface ThreadPlace {
  stackTop: number;
  storage: number;
}

/** Addresses of what an operation on another thread takes and gives. */
export interface TaskPlace {
  answer: number;
  input: number;
  inputBytes: number;
}

export const newMemory = (): WasmMemory => new Memory({ ...PAGES, shared: true });

export class WasmInstance {
  readonly #exports: Exports;
  readonly #memory: WasmMemory;
  /** Inputs are copied here; grows with the largest of them. */
  #scratch: number;
  #scratchBytes: number;
  #broken: BugError | null = null;

  constructor(module: WasmModule, memory: WasmMemory) {
    this.#exports = new Instance(module, { env: { memory } }).exports as Exports;
    this.#memory = memory;
    this.#exports.start();
    this.#scratchBytes = SCRATCH_BYTES_MIN;
    this.#scratch = this.#allocate(SCRATCH_BYTES_MIN);
  }

  /** Addresses are unsigned; WebAssembly hands them out as signed numbers. */
  #allocate(length: number): number {
    return this.#exports.allocate(length) >>> 0;
  }

  /** Makes a place for another thread. It is never freed: the memory goes as a whole. */
  newThreadPlace(stackBytes: number): ThreadPlace {
    const stack = this.#allocate(stackBytes);
    return {
      stackTop: stack + stackBytes,
      storage: this.#allocate(Math.max(16, this.#exports.__tls_size.value)),
    };
  }

  /** Puts the input of an operation on another thread into the memory; `takeTask` frees it. @throws BugError */
  putTask(input: Uint8Array): TaskPlace {
    if (this.#broken !== null) throw this.#broken;
    try {
      const answer = this.#allocate(ANSWER_BYTES + input.length);
      new Uint8Array(this.#memory.buffer).set(input, answer + ANSWER_BYTES);
      return { answer, input: answer + ANSWER_BYTES, inputBytes: input.length };
    } catch (error) {
      throw this.break(error);
    }
  }

  /** The answer of an operation that has ended on another thread. @throws BugError */
  takeTask({ answer, inputBytes }: TaskPlace): Uint8Array {
    if (this.#broken !== null) throw this.#broken;
    try {
      const taken = this.#takeAnswer(answer);
      this.#exports.free(answer, ANSWER_BYTES + inputBytes);
      return taken;
    } catch (error) {
      throw this.break(error);
    }
  }

  perform(operation: Operation, handle: number, number: number, a = NOTHING, b = NOTHING, c = NOTHING): Uint8Array {
    if (this.#broken !== null) throw this.#broken;
    try {
      this.#reserve(ANSWER_BYTES + a.length + b.length + c.length);
      const at = this.#scratch + ANSWER_BYTES;
      const memory = new Uint8Array(this.#memory.buffer);
      memory.set(a, at);
      memory.set(b, at + a.length);
      memory.set(c, at + a.length + b.length);
      const [bAt, cAt] = [at + a.length, at + a.length + b.length];
      this.#exports.perform(operation, handle, number, at, a.length, bAt, b.length, cAt, c.length, this.#scratch);
      return this.#takeAnswer(this.#scratch);
    } catch (error) {
      throw this.break(error);
    }
  }

  /** After a trap locks may be held for ever: nothing on this memory is used again. */
  break(cause: unknown): BugError {
    if (this.#broken !== null) return this.#broken;
    const bug = new BugError(`bug: engine: ${this.#panicText() || String(cause)}`);
    bug.cause = cause;
    this.#broken = bug;
    return bug;
  }

  get broken(): BugError | null {
    return this.#broken;
  }

  #panicText(): string {
    try {
      this.#exports.panic_text(this.#scratch);
      return new TextDecoder().decode(this.#takeAnswer(this.#scratch));
    } catch {
      return ""; // The first error is the one to report, not that its text cannot be had.
    }
  }

  #takeAnswer(place: number): Uint8Array {
    const view = new DataView(this.#memory.buffer, place, ANSWER_BYTES);
    const [at, length] = [view.getUint32(0, true), view.getUint32(4, true)];
    const answer = new Uint8Array(this.#memory.buffer, at, length).slice();
    this.#exports.free_answer(at, length);
    return answer;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#scratchBytes) return;
    this.#exports.free(this.#scratch, this.#scratchBytes);
    this.#scratchBytes = 2 ** Math.ceil(Math.log2(bytes));
    this.#scratch = this.#allocate(this.#scratchBytes);
  }
}
