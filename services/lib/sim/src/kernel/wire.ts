/**
 * Messages between processes that nobody keeps: lost, doubled, late and out of order as chance wants. The same port as core NATS
 * has; subjects, `*` and queue groups as the server knows them.
 */
import { SUBJECT } from "@meridian/bus";
import { IoError } from "@meridian/core";
import type { Headers, Wire, WireMessage } from "@meridian/core";
import { describeMessage } from "./describe.ts";
import type { SimProcess } from "./process.ts";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./time.ts";
import type { Trace } from "./trace.ts";

/** How messages fare; all of it can be changed while a run goes on. */
export interface Weather {
  lossChance: number;
  copyChance: number;
  /** A late copy comes up to this long after the first one. */
  copyMsMax: number;
  /** Usual time on the way: from nearly nothing up to this. */
  delayMs: number;
  /** Some take up to `stragglerMs` instead. */
  stragglerChance: number;
  stragglerMs: number;
  /** What homes propose takes this much longer: locks are held while much else happens. */
  proposalMs: number;
}

interface Subscription {
  process: SimProcess;
  tokens: string[];
  queue: string | undefined;
  handler: (message: WireMessage) => void;
}

const ON_THE_WAY_MS_MIN = 0.01;

export class SimWire {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #trace: Trace;
  readonly weather: Weather;
  readonly #subscriptions = new Set<Subscription>();
  /** Processes that nothing reaches and that reach nobody. */
  readonly cutOff = new Set<SimProcess>();
  /** There is no server: nothing reaches anybody. */
  isDown = false;
  /** The server stands still until then: what is on its way arrives afterwards. */
  stillUntilMs = 0;

  constructor(time: VirtualTime, random: Random, trace: Trace, weather: Weather) {
    this.#time = time;
    this.#random = random;
    this.#trace = trace;
    this.weather = weather;
  }

  /** The port of one process. */
  connect(process: SimProcess): Wire {
    return {
      publish: (subject, payload, headers = {}) => {
        if (!this.#canSpeak(process)) return;
        const copy = payload.slice();
        for (const receiver of this.#receivers(subject)) this.#send(process, receiver, subject, copy, headers, () => undefined);
      },
      request: (subject, payload, options) => this.#request(process, subject, payload.slice(), options),
      subscribe: (subject, handler, queue) => {
        const subscription = { process, tokens: subject.split("."), queue, handler };
        this.#subscriptions.add(subscription);
        return () => this.#subscriptions.delete(subscription);
      },
    };
  }

  /** Forgets the subscriptions of a process that is dead. */
  drop(process: SimProcess): void {
    for (const subscription of this.#subscriptions)
      if (subscription.process === process) this.#subscriptions.delete(subscription);
    this.cutOff.delete(process);
  }

  #canSpeak(process: SimProcess): boolean {
    return !this.isDown && process.state !== "dead" && !this.cutOff.has(process);
  }

  #request(
    process: SimProcess,
    subject: string,
    payload: Uint8Array,
    { timeoutMs, headers = {} }: { timeoutMs: number; headers?: Headers },
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const cancel = process.clock.after(timeoutMs, () => reject(new IoError({ code: "TIMEOUT", subject, timeoutMs }, "later")));
      if (!this.#canSpeak(process)) return;
      const respond = (from: SimProcess) => (reply: Uint8Array) => {
        if (!this.#canSpeak(from)) return;
        const copy = reply.slice();
        this.#travel(from, process, `re ${subject}`, copy, () => {
          cancel();
          resolve(copy);
        });
      };
      const receivers = this.#receivers(subject);
      for (const receiver of receivers) this.#send(process, receiver, subject, payload, headers, respond(receiver.process));
      if (receivers.length > 0) return;
      this.#travel(process, process, `no ${subject}`, payload, () => {
        cancel();
        reject(new IoError({ code: "NO_RESPONDERS", subject }, "later"));
      });
    });
  }

  #send(
    from: SimProcess,
    receiver: Subscription,
    subject: string,
    payload: Uint8Array,
    headers: Headers,
    respond: (payload: Uint8Array) => void,
  ): void {
    this.#travel(from, receiver.process, subject, payload, () => {
      if (this.#subscriptions.has(receiver)) receiver.handler({ subject, payload, headers, respond });
    });
  }

  /** What goes from one process to another: perhaps not at all, perhaps twice, and when. */
  #travel(from: SimProcess, to: SimProcess, what: string, payload: Uint8Array, arrive: () => void): void {
    const { lossChance, copyChance, copyMsMax } = this.weather;
    const random = this.#random;
    if (from !== to && random.chance(lossChance)) {
      this.#trace.event(to.name, what, 0, payload);
      return this.#tell(from, to, what, payload, "never");
    }
    const land = (): void => {
      if (this.isDown || this.cutOff.has(to)) return;
      const stillMs = this.stillUntilMs - this.#time.now();
      if (stillMs > 0) return void this.#time.after(stillMs + this.#delayMs(), land);
      to.enter(() => {
        this.#trace.event(to.name, what, 1, payload);
        this.#tell(from, to, what, payload, "");
        arrive();
      });
    };
    const delayMs = this.#delayMs() + (what === SUBJECT.proposal ? this.weather.proposalMs * (0.5 + random.float()) : 0);
    this.#time.after(delayMs, land);
    if (from !== to && random.chance(copyChance)) this.#time.after(delayMs + random.float() * copyMsMax, land);
  }

  #tell(from: SimProcess, to: SimProcess, what: string, payload: Uint8Array, how: string): void {
    if (!this.#trace.keepsLines) return;
    const text = describeMessage(what, payload);
    if (text !== null) this.#trace.line(to.name, () => `${how} from ${from.name}: ${text}`);
  }

  #delayMs(): number {
    const { delayMs, stragglerChance, stragglerMs } = this.weather;
    const most = this.#random.chance(stragglerChance) ? stragglerMs : delayMs;
    return ON_THE_WAY_MS_MIN + this.#random.float() * most;
  }

  #receivers(subject: string): Subscription[] {
    const tokens = subject.split(".");
    const matching = [...this.#subscriptions].filter(
      (known) => isMatch(known.tokens, tokens) && known.process.state !== "dead" && !this.cutOff.has(known.process),
    );
    const queues = new Set(matching.flatMap(({ queue }) => queue ?? []));
    if (queues.size === 0) return matching;
    const chosen = [...queues].map((queue) => this.#random.pick(matching.filter((known) => known.queue === queue)));
    return [...matching.filter(({ queue }) => queue === undefined), ...chosen];
  }
}

function isMatch(pattern: readonly string[], subject: readonly string[]): boolean {
  return pattern.length === subject.length && pattern.every((token, index) => token === "*" || token === subject[index]);
}
