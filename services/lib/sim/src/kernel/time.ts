/**
 * Virtual time: events in order of their moment, each run to the end of everything that it causes before the next one.
 *
 * T1. Nothing happens but by an event, and events of one moment keep the order in which they were made: a run depends on nothing
 *     but its seed.
 * T2. Between two events all promises that can go on have gone on, and nothing that is not virtual can come between.
 */
import type { Clock } from "@meridian/core";

interface Timer {
  at: number;
  order: number;
  run: (() => void) | null;
}

/** After so many events the machine's event loop has a turn: rejections that nobody handles are told only there. */
const TURN_EVENTS = 200;

export class VirtualTime implements Clock {
  #now = 0;
  #order = 0;
  #heap: Timer[] = [];

  now(): number {
    return this.#now;
  }

  /** Events so far. */
  get events(): number {
    return this.#order;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer: Timer = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#push(timer);
    return () => {
      timer.run = null;
    };
  }

  /** Runs events until `isDone`, asked after each, or until none is left at or before `endMs`. */
  run(isDone: () => boolean, endMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = (): void => {
        try {
          if (isDone() || !this.#runNext(endMs)) return resolve();
        } catch (error) {
          return reject(error instanceof Error ? error : new Error(String(error), { cause: error }));
        }
        // The next tick comes when the queue of promises is empty; a tick asked for from a tick would come before it.
        queueMicrotask(next);
      };
      let left = TURN_EVENTS;
      const next = (): void => {
        if (left-- > 0) return process.nextTick(step);
        left = TURN_EVENTS;
        setImmediate(step);
      };
      next();
    });
  }

  #runNext(endMs: number): boolean {
    for (;;) {
      const timer = this.#heap[0];
      if (timer === undefined || timer.at > endMs) return false;
      this.#pop();
      const { run } = timer;
      if (run === null) continue;
      timer.run = null;
      this.#now = timer.at;
      run();
      return true;
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(timer);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
  }
}

const isBefore = (left: Timer, right: Timer): boolean => left.at < right.at || (left.at === right.at && left.order < right.order);
