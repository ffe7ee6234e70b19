import type { Headers } from "@meridian/core";
import type { Expectation, StoreOutcome, StoredMessage, StreamMessage } from "../stream.ts";

/** A stream as a JetStream server keeps it: one sequence for all subjects, gaps after a purge, a limit that refuses. */
export class MemoryStream {
  #all: StoredMessage[] = [];
  #bySubject = new Map<string, StoredMessage[]>();
  #lastSequence = 0;
  #readers = new Set<() => void>();
  /** Why nothing fits any more; null while there is room. */
  fullText: string | null = null;

  get lastSequence(): number {
    return this.#lastSequence;
  }

  store(messages: readonly StreamMessage[], expectation: Expectation): StoreOutcome {
    if (!this.#holds(messages, expectation)) return { outcome: "moved" };
    if (this.fullText !== null) return { outcome: "full", text: this.fullText };
    for (const { subject, payload, headers } of messages) this.plant(subject, payload, headers);
    return { outcome: "stored", sequence: this.#lastSequence };
  }

  #holds(messages: readonly StreamMessage[], expectation: Expectation): boolean {
    if ("lastSequence" in expectation) return expectation.lastSequence === this.#lastSequence;
    const subject = messages[0]?.subject ?? "";
    return expectation.lastSubjectSequence === (this.last(subject)?.sequence ?? 0);
  }

  /** Stores without any check, as anybody with access to the server could; for tests of damage. */
  plant(subject: string, payload: Uint8Array, headers: Headers = {}): number {
    const message = { sequence: ++this.#lastSequence, subject, payload, headers };
    this.#all.push(message);
    const own = this.#bySubject.get(subject);
    if (own === undefined) this.#bySubject.set(subject, [message]);
    else own.push(message);
    for (const wake of this.#readers) wake();
    return message.sequence;
  }

  /** Removes one message, as a damaged disk would; for tests of damage. */
  erase(sequence: number): void {
    this.#keep((message) => message.sequence !== sequence);
  }

  /** This and the next three: `upTo` is the last sequence that a replica has which lags behind. */
  at(sequence: number, upTo = Infinity): StoredMessage | undefined {
    const message = this.#all[firstFrom(this.#all, sequence)];
    return message?.sequence === sequence && sequence <= upTo ? message : undefined;
  }

  next(subject: string, sequence: number, upTo = Infinity): StoredMessage | undefined {
    const own = this.#of(subject);
    const message = own[firstFrom(own, sequence)];
    return message !== undefined && message.sequence <= upTo ? message : undefined;
  }

  last(subject: string, upTo = Infinity): StoredMessage | undefined {
    return this.#of(subject).findLast(({ sequence }) => sequence <= upTo);
  }

  lastOfAll(upTo = Infinity): StoredMessage[] {
    const tails = [...this.#bySubject.keys()].flatMap((subject) => this.last(subject, upTo) ?? []);
    return tails.sort((left, right) => left.sequence - right.sequence);
  }

  /** Messages from `sequence` on, up to `bytesMax` (at least one, if there is one). */
  slice(subject: string, sequence: number, bytesMax: number): StoredMessage[] {
    const own = this.#of(subject);
    const messages: StoredMessage[] = [];
    let bytes = 0;
    for (let index = firstFrom(own, sequence); index < own.length; index++) {
      const message = own[index];
      if (message === undefined) break;
      bytes += message.payload.length;
      if (messages.length > 0 && bytes > bytesMax) break;
      messages.push(message);
    }
    return messages;
  }

  purge(subject: string, sequence: number): void {
    const isAll = subject.endsWith("*");
    this.#keep((message) => message.sequence >= sequence || (!isAll && message.subject !== subject));
  }

  /** Calls `wake` after every store, until the returned function is called. */
  onStore(wake: () => void): () => void {
    this.#readers.add(wake);
    return () => this.#readers.delete(wake);
  }

  #of(subject: string): StoredMessage[] {
    return subject.endsWith("*") ? this.#all : (this.#bySubject.get(subject) ?? []);
  }

  #keep(isKept: (message: StoredMessage) => boolean): void {
    this.#all = this.#all.filter(isKept);
    for (const [subject, own] of this.#bySubject) this.#bySubject.set(subject, own.filter(isKept));
  }
}

/** Index of the first message at or behind `sequence`, by halving. */
function firstFrom(messages: readonly StoredMessage[], sequence: number): number {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((messages[middle]?.sequence ?? Infinity) < sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}
