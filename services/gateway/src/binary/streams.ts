/**
 * Receipts on their way to clients that asked for them with their transactions. One question to the archive for all that wait,
 * once a sealed block.
 *
 * R1. What is told stands in a sealed block.
 * R2. Each call is told once. A response ends when all are told, or when its time is over.
 * R3. At most `streamCallsMax` calls are waited for or stand in responses that clients have not taken yet; a client that is gone
 *     is forgotten.
 */
import type { Telemetry } from "@meridian/core";
import { concatBytes, isIoError } from "@meridian/core";
import type { Archive } from "../chain/archive.ts";
import type { Read } from "../chain/state.ts";
import type { ChainView, Sealed } from "../chain/view.ts";
import { refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";
import { endValue, lateValue, receiptsValue } from "./answer.ts";
import { blockAt, Followed, OUTCOME_WORDS } from "./followed.ts";
import type { CallKeys } from "./keys.ts";

/** Where a response goes on. */
export interface Sink {
  write(bytes: Uint8Array): void;
  /** The last bytes. */
  end(bytes: Uint8Array): void;
  /** Cuts the response off. */
  destroy(): void;
  /** Calls `forget` when the client has taken everything or is gone; at once if it is gone already. */
  onOver(forget: () => void): void;
}

export interface StreamLimits {
  /** Calls that are waited for, in all responses. */
  streamCallsMax: number;
  /** How long a response waits for receipts. */
  streamMsMax: number;
  /** How long a client may take to read what is there at the end. */
  streamDrainMsMax: number;
  /** Transactions of one question to the archive. */
  outcomesMax: number;
  /** Pause before a question without an answer is asked again. */
  streamRetryMs: number;
}

/** Room for the receipts of some calls. */
export interface Room {
  free(): void;
  /** Goes on with a response; frees the room when it is over. @param fromBlock no earlier block can have any of the calls */
  open(calls: CallKeys, fromBlock: number, sink: Sink): void;
}

interface Stream {
  followed: Followed;
  sink: Sink;
  timer: NodeJS.Timeout;
}

/** Blocks whose hash and time are remembered. */
const HEADS_MAX = 64;

export class ReceiptStreams {
  readonly #view: ChainView;
  readonly #archive: Archive;
  readonly #telemetry: Telemetry;
  readonly #limits: StreamLimits;
  readonly #streams = new Set<Stream>();
  readonly #heads = new Map<number, Sealed>();
  #calls = 0;
  #isLooking = false;
  #mustLookAgain = false;
  #mustRetry = false;

  constructor(view: ChainView, archive: Archive, telemetry: Telemetry, limits: StreamLimits) {
    this.#view = view;
    this.#archive = archive;
    this.#telemetry = telemetry;
    this.#limits = limits;
    const gauge = (name: string, unit: string, description: string, value: () => number) =>
      telemetry.gauge(`meridian.gateway.${name}`, unit, description, () => [{ value: value() }]);
    gauge("streams.waiting", "{transaction}", "Transactions whose receipts are streamed", () => this.#calls);
    gauge("streams", "{response}", "Responses that wait for receipts", () => this.#streams.size);
    view.onSealed((latest) => {
      this.#remember(latest);
      void this.#look();
    });
  }

  /** Calls whose receipts are waited for, or stand in responses that are not taken yet. */
  waiting(): number {
    return this.#calls;
  }

  /** Null if too many are waited for. */
  reserve(calls: number): Room | null {
    if (this.#calls > 0 && this.#calls + calls > this.#limits.streamCallsMax) return null;
    this.#calls += calls;
    let held = calls;
    const free = (): void => {
      this.#calls -= held;
      held = 0;
    };
    return { free, open: (calls, fromBlock, sink) => this.#open(new Followed(calls, fromBlock), sink, free) };
  }

  #open(followed: Followed, sink: Sink, free: () => void): void {
    const { streamMsMax, streamDrainMsMax } = this.#limits;
    const timer = setTimeout(() => this.#end(stream, lateValue(followed.left)), streamMsMax);
    const cutOff = setTimeout(() => sink.destroy(), streamMsMax + streamDrainMsMax);
    const stream: Stream = { followed, sink, timer };
    this.#streams.add(stream);
    sink.onOver(() => {
      clearTimeout(timer);
      clearTimeout(cutOff);
      this.#streams.delete(stream);
      free();
    });
    if (followed.left === 0) return this.#end(stream, endValue(0));
    if (followed.fromBlock <= (this.#view.latest()?.number ?? -1)) void this.#look();
  }

  #end(stream: Stream, last: Uint8Array): void {
    clearTimeout(stream.timer);
    if (this.#streams.delete(stream)) stream.sink.end(last);
  }

  /** One round at a time; what is sealed or begins to wait meanwhile is looked for after it. */
  async #look(): Promise<void> {
    this.#mustLookAgain = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      while (this.#mustLookAgain && this.#streams.size > 0) {
        this.#mustLookAgain = false;
        const latest = this.#view.latest();
        if (latest !== null) await this.#askAll(latest.number);
      }
    } finally {
      this.#isLooking = false;
    }
  }

  /** Asks for all that may stand in a block up to `latest`, as many at once as one answer holds. */
  async #askAll(latest: number): Promise<void> {
    const due = [...this.#streams].filter(({ followed }) => followed.fromBlock <= latest);
    for (let start = 0, end = 0; start < due.length; start = end) {
      let calls = 0;
      for (; end < due.length && (end === start || calls + due[end]!.followed.left <= this.#limits.outcomesMax); end++) {
        calls += due[end]!.followed.left;
      }
      if (!(await this.#ask(due.slice(start, end), latest))) this.#lookLater();
    }
  }

  #lookLater(): void {
    if (this.#mustRetry) return;
    this.#mustRetry = true;
    setTimeout(() => {
      this.#mustRetry = false;
      void this.#look();
    }, this.#limits.streamRetryMs);
  }

  /** False if there was no answer. */
  async #ask(streams: readonly Stream[], latest: number): Promise<boolean> {
    try {
      const answer = await this.#archive.outcomes(concatBytes(streams.map(({ followed }) => followed.keys)), latest);
      if ("error" in answer) return this.#failed(answer.error);
      const heads = await this.#headsOf(answer.value, latest);
      if ("error" in heads) return this.#failed(heads.error);
      let at = 0;
      for (const stream of streams) {
        const { left } = stream.followed;
        this.#tell(stream, stream.followed.take(answer.value, at, latest), heads.value);
        at += left * OUTCOME_WORDS;
      }
      return true;
    } catch (error) {
      if (!isIoError(error)) throw error;
      return this.#failed(error.detail);
    }
  }

  #failed(facts: object): false {
    this.#telemetry.log.warn({ ...facts }, "No archive tells what became of transactions that are waited for; asking again.");
    return false;
  }

  /** Hash and time of the blocks that outcomes name. */
  async #headsOf(outcomes: Uint32Array, latest: number): Promise<Read<Map<number, Sealed>>> {
    const heads = new Map<number, Sealed>();
    let last = -1;
    for (let at = 0; at < outcomes.length; at += OUTCOME_WORDS) {
      const number = blockAt(outcomes, at);
      if (number === last || number < 0 || number > latest || heads.has(number)) continue;
      last = number;
      const head = this.#heads.get(number) ?? (await this.#askHead(number));
      if ("error" in head) return head;
      heads.set(number, head);
    }
    return { value: heads };
  }

  async #askHead(number: number): Promise<Sealed | { error: RpcError }> {
    const found = await this.#archive.headers(number, 1, number);
    if ("error" in found) return found;
    const [block] = found.value;
    if (block === undefined) return { error: refused(`block ${number} is not there`) };
    const head = { number, hash: block.hash, timestamp: block.timestamp };
    this.#remember(head);
    return head;
  }

  #tell(stream: Stream, told: readonly [block: number, receipts: Uint8Array][], heads: ReadonlyMap<number, Sealed>): void {
    if (!this.#streams.has(stream)) return; // Its client went away meanwhile.
    const { followed, sink } = stream;
    const values = told.flatMap(([block, receipts]) => {
      const head = heads.get(block);
      return head === undefined ? [] : [receiptsValue(head, receipts)];
    });
    if (followed.left === 0) this.#end(stream, concatBytes([...values, endValue(followed.count)]));
    else if (values.length > 0) sink.write(concatBytes(values));
  }

  #remember(head: Sealed): void {
    this.#heads.set(head.number, head);
    for (const number of this.#heads.keys()) {
      if (this.#heads.size <= HEADS_MAX) break;
      this.#heads.delete(number);
    }
  }
}
