/**
 * A client: sends its transactions to whoever leads until it knows what became of each, and sends some of them again afterwards,
 * as one does whose answer was lost.
 */
import { SUBJECT, decodeBeat, decodeSubmitReply } from "@meridian/bus";
import { SUBMIT, concatBytes, isIoError } from "@meridian/core";
import type { Beat, Wire } from "@meridian/core";
import type { SimProcess } from "../kernel/process.ts";
import type { Random } from "../kernel/random.ts";
import type { Trace } from "../kernel/trace.ts";
import type { PlannedTransaction } from "../world/plan.ts";

/** `acknowledged`: the client was told that LOG has it. `refused`: its nonce is used by whatever. */
export type Fate = "waiting" | "acknowledged" | "refused";

export interface SentTransaction {
  planned: PlannedTransaction;
  fate: Fate;
  sendAtMs: number;
}

export interface ClientOptions {
  /** Transactions of one request, and how far ahead of what is known to be taken. */
  batchMax: number;
  aheadMax: number;
  /** Sends something again that it knows the fate of. */
  againChance: number;
  tickMs: number;
  /** Goes on until then, and until it knows what became of everything. */
  untilMs: number;
}

const REQUEST_MS_MAX = 250;
const RETRY_MS_MAX = 60;

export class Client {
  readonly sent: SentTransaction[];
  readonly #wire: Wire;
  readonly #process: SimProcess;
  readonly #random: Random;
  readonly #trace: Trace;
  readonly #options: ClientOptions;
  beat: Beat | null = null;
  #inFlight = 0;

  constructor(
    process: SimProcess,
    wire: Wire,
    parts: { random: Random; trace: Trace; options: ClientOptions },
    transactions: readonly PlannedTransaction[],
    sendMsMax: number,
  ) {
    const { random, trace, options } = parts;
    this.#process = process;
    this.#wire = wire;
    this.#random = random;
    this.#trace = trace;
    this.#options = options;
    this.sent = transactions.map((planned) => ({ planned, fate: "waiting", sendAtMs: random.float() * sendMsMax }));
    wire.subscribe(SUBJECT.beat, ({ payload }) => {
      const beat = decodeBeat(payload);
      if (this.beat === null || beat.term >= this.beat.term) this.beat = beat;
    });
    this.#tick();
  }

  get isDone(): boolean {
    return this.#inFlight === 0 && this.sent.every(({ fate }) => fate !== "waiting");
  }

  #tick(): void {
    if (this.isDone && this.#process.clock.now() > this.#options.untilMs) return;
    if (this.beat !== null && this.#inFlight < 2) {
      const batch = this.#next(this.#process.clock.now());
      if (batch.length > 0) void this.#send(batch, this.beat.term);
    }
    this.#process.clock.after(this.#options.tickMs * (0.5 + this.#random.float()), () => this.#tick());
  }

  /** What is due, the lowest nonces first, but now and then one that is ahead of its turn. */
  #next(nowMs: number): SentTransaction[] {
    const { batchMax, aheadMax, againChance } = this.#options;
    const random = this.#random;
    const next = new Map<string, number>();
    for (const { planned, fate } of this.sent) {
      if (fate === "waiting") next.set(planned.sender, Math.min(planned.nonce, next.get(planned.sender) ?? Infinity));
    }
    const due = this.sent.filter(
      ({ planned, fate, sendAtMs }) =>
        fate === "waiting" && sendAtMs <= nowMs && planned.nonce <= (next.get(planned.sender) ?? 0) + random.below(aheadMax + 1),
    );
    const batch = due.slice(0, random.between(1, batchMax));
    if (this.sent.length > 0 && random.chance(againChance)) batch.push(random.pick(this.sent));
    return [...new Set(batch)];
  }

  async #send(batch: SentTransaction[], term: number): Promise<void> {
    this.#inFlight++;
    for (const sent of batch) sent.sendAtMs = this.#process.clock.now() + REQUEST_MS_MAX * this.#random.float();
    const payload = concatBytes(batch.map(({ planned }) => planned.record));
    try {
      const reply = await this.#wire.request(SUBJECT.submit(term), payload, { timeoutMs: REQUEST_MS_MAX });
      const { codes } = decodeSubmitReply(reply);
      batch.forEach((sent, index) => this.#take(sent, codes[index]));
    } catch (error) {
      if (!isIoError(error)) throw error;
      const text = () => `no answer about ${batch.map(({ planned }) => `t${planned.id}`).join()}: ${error.detail.code}`;
      this.#trace.line(this.#process.name, text);
      for (const sent of batch) this.#later(sent);
    } finally {
      this.#inFlight--;
    }
  }

  #take(sent: SentTransaction, code: number | undefined): void {
    const { planned } = sent;
    const isTaken = code === SUBMIT.accepted || code === SUBMIT.known;
    this.#trace.line(
      this.#process.name,
      () => `t${planned.id} nonce ${planned.nonce} of ${planned.sender.slice(0, 6)}: code ${code}`,
    );
    if (isTaken) sent.fate = "acknowledged";
    else if (code === SUBMIT.nonceTooLow && sent.fate === "waiting") sent.fate = "refused";
    else this.#later(sent);
  }

  #later(sent: SentTransaction): void {
    sent.sendAtMs = this.#process.clock.now() + this.#random.float() * RETRY_MS_MAX;
  }
}
