import { IoError } from "@meridian/core";
import type { Headers, WireMessage } from "@meridian/core";
import type { Clock } from "@meridian/core";

interface Subscription {
  subject: string;
  queue: string | undefined;
  handler: (message: WireMessage) => void;
  isReachable: () => boolean;
}

/** What a fault does to a message on the wire: how many copies arrive, and how late. */
export interface WireFate {
  copies: number;
  delayMs: number;
}

/** Core NATS in memory: at most once, subscribers of one queue name take turns, `*` and `>` as the server has them. */
export class MemoryWire {
  #clock: Clock;
  #subscriptions = new Set<Subscription>();
  #turns = new Map<string, number>();
  /** Decides each message's fate; the simulator and tests replace it. */
  fate: (subject: string) => WireFate = () => ({ copies: 1, delayMs: 0 });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  subscribe(subscription: Subscription): () => void {
    this.#subscriptions.add(subscription);
    return () => this.#subscriptions.delete(subscription);
  }

  /** @returns how many subscribers it goes to */
  publish(subject: string, payload: Uint8Array, headers: Headers, respond: (payload: Uint8Array) => void): number {
    const receivers = this.#receivers(subject);
    const { copies, delayMs } = this.fate(subject);
    const copy = new Uint8Array(payload); // A sender may use its buffer again, as it may with a real connection.
    const deliver = () => {
      for (const receiver of receivers) {
        if (this.#subscriptions.has(receiver) && receiver.isReachable())
          receiver.handler({ subject, payload: copy, headers, respond });
      }
    };
    for (let sent = 0; sent < copies; sent++) {
      if (delayMs > 0) this.#clock.after(delayMs, deliver);
      else queueMicrotask(deliver);
    }
    return receivers.length;
  }

  request(subject: string, payload: Uint8Array, options: { timeoutMs: number; headers?: Headers }): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const { timeoutMs, headers = {} } = options;
      const cancel = this.#clock.after(timeoutMs, () => reject(new IoError({ code: "TIMEOUT", subject, timeoutMs }, "later")));
      const receive = (reply: Uint8Array) => {
        cancel();
        resolve(reply);
      };
      const respond = (reply: Uint8Array) => {
        const { copies, delayMs } = this.fate(`reply:${subject}`);
        const copy = new Uint8Array(reply);
        if (copies === 0) return;
        if (delayMs > 0) this.#clock.after(delayMs, () => receive(copy));
        else queueMicrotask(() => receive(copy));
      };
      if (this.publish(subject, payload, headers, respond) > 0) return;
      cancel();
      reject(new IoError({ code: "NO_RESPONDERS", subject }, "later"));
    });
  }

  #receivers(subject: string): Subscription[] {
    const matching = [...this.#subscriptions].filter((known) => isMatch(known.subject, subject) && known.isReachable());
    const receivers = matching.filter(({ queue }) => queue === undefined);
    for (const queue of new Set(matching.flatMap((known) => known.queue ?? []))) {
      const members = matching.filter((known) => known.queue === queue);
      const turn = this.#turns.get(queue) ?? 0;
      this.#turns.set(queue, turn + 1);
      const chosen = members[turn % members.length];
      if (chosen !== undefined) receivers.push(chosen);
    }
    return receivers;
  }
}

function isMatch(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const got = subject.split(".");
  for (const [index, token] of wanted.entries()) {
    if (token === ">") return got.length > index;
    if (got[index] === undefined || (token !== "*" && token !== got[index])) return false;
  }
  return wanted.length === got.length;
}
