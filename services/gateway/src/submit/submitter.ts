/**
 * From the gateway to the scheduler's leader: what several requests bring within a millisecond becomes one message, and one
 * answer is cut apart again.
 *
 * S1. A verdict other than `notSent` and `unknown` is the scheduler's: accepted means that the log holds the transaction durably.
 * S2. Sending again is safe: the scheduler knows what the log holds by its hash.
 * S3. Requests that share a message do not wait for each other's nonce gaps: such a message refuses gaps at once, and what it
 *     refuses goes again alone.
 * S4. Order of one client's requests is kept: messages go out in the order in which requests came.
 * S5. A request that is larger than a message is cut between records. Its messages go out behind each other without waiting; one
 *     that overtook another, because that was sent again, finds a gap, and goes again when all have their answers.
 */
import { decodeSubmitReply, SUBJECT } from "@meridian/bus";
import type { Headers, Span, Telemetry, Wire } from "@meridian/core";
import { assert, concatBytes, GAP_HEADER, IoError, isIoError, SUBMIT } from "@meridian/core";
import type { ChainView } from "../chain/view.ts";
import { VERDICT } from "../ingest/refusals.ts";
import { cutRecords, selectRecords } from "./records.ts";
import type { Records } from "./records.ts";

/** The transactions of one request. */
export interface Submission extends Records {
  /** Trace context of the request. */
  headers: Headers;
  /** A nonce ahead of its turn may be refused at once. */
  refusesGaps?: boolean;
}
/** One code for each record, SUBMIT or VERDICT, and its detail. */
export interface Verdicts {
  codes: Uint8Array;
  details: Float64Array;
}

export interface SubmitterOptions {
  /** How long the first request of a message waits for others. */
  mergeMs: number;
  /** A message with as many bytes goes at once, and a request of more is cut. */
  mergeBytesMax: number;
  /** Of one attempt: longer than the scheduler waits for a nonce gap. */
  attemptMsMax: number;
  /** Of all attempts together. */
  submitMsMax: number;
  /** Transactions that may wait for a verdict; further ones are `busy`. */
  inFlightMax: number;
}

interface Waiting extends Submission {
  resolve: (delivered: Delivered) => void;
  reject: (error: unknown) => void;
}
interface Delivered extends Verdicts {
  /** Gaps were refused at once although they may wait. */
  mayGoAgain: boolean;
}
/** What one message came to; without verdicts if there was no usable answer. */
interface Attempt {
  verdicts: Verdicts | null;
  /** The scheduler may have taken it. */
  isMaybeSent: boolean;
  why: string;
}

export class Submitter {
  readonly #wire: Wire;
  readonly #view: ChainView;
  readonly #telemetry: Telemetry;
  readonly #options: SubmitterOptions;
  readonly #measure: ReturnType<typeof submitMetrics>;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #inFlight = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(wire: Wire, view: ChainView, telemetry: Telemetry, options: SubmitterOptions) {
    this.#wire = wire;
    this.#view = view;
    this.#telemetry = telemetry;
    this.#options = options;
    this.#measure = submitMetrics(telemetry, () => this.#inFlight);
  }

  /** Transactions that wait for a verdict. */
  inFlight(): number {
    return this.#inFlight;
  }

  /** So many wait that whoever brings more should come back later. */
  isFull(): boolean {
    return this.#inFlight >= this.#options.inFlightMax;
  }

  async submit(submission: Submission): Promise<Verdicts> {
    const { count } = submission;
    if (count === 0) return verdictsOf(0, SUBMIT.accepted);
    const isFull = this.#inFlight > 0 && this.#inFlight + count > this.#options.inFlightMax;
    if (isFull) return verdictsOf(count, SUBMIT.busy);
    this.#inFlight += count;
    try {
      return await this.#submitParts(submission);
    } finally {
      this.#inFlight -= count;
    }
  }

  async #submitParts(submission: Submission): Promise<Verdicts> {
    const parts = cutRecords(submission, this.#options.mergeBytesMax);
    const deliveries = parts.map(
      (part) => new Promise<Delivered>((resolve, reject) => this.#enqueue({ ...submission, ...part, resolve, reject })),
    );
    const delivered = await Promise.all(deliveries);
    // What had no room leaves a gap that nothing will close.
    if (!delivered.some(({ codes }) => codes.some(hadNoRoom))) {
      for (const [index, part] of parts.entries()) {
        const { codes, details, mayGoAgain } = delivered[index]!;
        if (mayGoAgain || index > 0) await this.#sendGaps(part, { codes, details }, submission.headers);
      }
    }
    const [first] = delivered;
    return delivered.length === 1 && first !== undefined ? first : joinVerdicts(delivered);
  }

  /** Gaps that were refused at once get their time; their verdicts are put into the place of the first ones. */
  async #sendGaps({ records }: Records, { codes, details }: Verdicts, headers: Headers): Promise<void> {
    const gaps = numbersOf(codes, SUBMIT.nonceTooHigh);
    if (gaps.length === 0) return;
    const wanted = new Set(gaps);
    const alone = selectRecords(records, (number) => wanted.has(number));
    const span = this.#telemetry.span("submit", { kind: "client", parent: headers });
    const again = await this.#send(alone, gaps.length, span, false);
    span.end();
    gaps.forEach((number, index) => {
      codes[number] = again.codes[index]!;
      details[number] = again.details[index]!;
    });
  }

  #enqueue(submission: Waiting): void {
    const { mergeBytesMax, mergeMs } = this.#options;
    if (this.#waitingBytes + submission.records.length > mergeBytesMax) this.#flush();
    this.#waiting.push(submission);
    this.#waitingBytes += submission.records.length;
    if (this.#waitingBytes >= mergeBytesMax) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), mergeMs);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const group = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (group.length > 0) void this.#sendGroup(group);
  }

  async #sendGroup(group: Waiting[]): Promise<void> {
    const [first, ...others] = group;
    assert(first !== undefined, "a message without a request");
    const isShared = others.length > 0;
    const span = this.#telemetry.span("submit", {
      kind: "client",
      parent: first.headers,
      links: others.map(({ headers }) => headers),
      attributes: { "meridian.requests": group.length },
    });
    try {
      const records = isShared ? concatBytes(group.map((submission) => submission.records)) : first.records;
      const count = group.reduce((sum, submission) => sum + submission.count, 0);
      const refusesGaps = isShared || first.refusesGaps === true;
      const verdicts = await this.#send(records, count, span, refusesGaps);
      span.end();
      for (const [submission, own] of cutApart(group, verdicts)) {
        submission.resolve({ ...own, mayGoAgain: refusesGaps && submission.refusesGaps !== true });
      }
    } catch (error) {
      span.end(error);
      for (const { reject } of group) reject(error);
    }
  }

  /** Sends one message until it has an answer or its time is over. */
  async #send(records: Uint8Array, count: number, span: Span, refusesGaps: boolean): Promise<Verdicts> {
    const startedAt = performance.now();
    const deadlineAt = startedAt + this.#options.submitMsMax;
    const headers: Headers = { ...span.headers(), ...(refusesGaps ? { [GAP_HEADER]: "refuse" } : {}) };
    let wasSent = false;
    this.#measure.transactions(count);
    for (;;) {
      const term = this.#view.leaderTerm();
      const timeoutMs = Math.min(this.#options.attemptMsMax, deadlineAt - performance.now());
      if (term !== null && timeoutMs > 0) {
        const attempt = await this.#tryOnce(term, records, count, timeoutMs, headers);
        this.#measure.attempts(1);
        if (attempt.verdicts !== null && !mustAskAgain(attempt.verdicts, wasSent)) {
          this.#measure.ms(performance.now() - startedAt);
          return attempt.verdicts;
        }
        wasSent ||= attempt.isMaybeSent;
        span.set({ "meridian.retry": attempt.why });
      }
      if (!(await this.#view.nextBeat(deadlineAt))) return verdictsOf(count, wasSent ? VERDICT.unknown : VERDICT.notSent);
    }
  }

  /**
   * The leader's answer. A deposed leader that is stopped or cut off never answers: once another is heard there is nothing to
   * wait for. @throws IoError DEPOSED, and what the request throws
   */
  async #answerOf(term: number, request: Promise<Uint8Array>): Promise<Uint8Array> {
    let isOver = false;
    const over = () => void (isOver = true);
    request.then(over, over);
    const deposed = async (): Promise<Uint8Array> => {
      const deadlineAt = performance.now() + this.#options.attemptMsMax;
      while (!isOver && (await this.#view.nextBeat(deadlineAt))) {
        const leading = this.#view.leaderTerm();
        if (leading !== null && leading > term) throw new IoError({ code: "DEPOSED", term, leading }, "now");
      }
      return request;
    };
    const watching = deposed();
    watching.catch(ignore);
    return Promise.race([request, watching]);
  }

  async #tryOnce(term: number, records: Uint8Array, count: number, timeoutMs: number, headers: Headers): Promise<Attempt> {
    try {
      const payload = await this.#answerOf(term, this.#wire.request(SUBJECT.submit(term), records, { timeoutMs, headers }));
      const { codes, details, positions } = decodeSubmitReply(payload);
      if (codes.length !== count || details.length !== count) {
        throw new IoError({ code: "MALFORMED", field: "submit reply.codes", want: `${count} codes` }, "never");
      }
      this.#view.learnPositions(positions);
      const isMaybeSent = codes.some((code) => code !== SUBMIT.notLeader);
      return { verdicts: { codes: codes.slice(), details }, isMaybeSent, why: "notLeader" };
    } catch (error) {
      if (!isIoError(error)) throw error;
      const { code } = error.detail;
      if (code === "DEPOSED") return { verdicts: null, isMaybeSent: true, why: code };
      if (code === "NO_RESPONDERS") return { verdicts: null, isMaybeSent: false, why: code };
      this.#telemetry.log.warn(
        { ...error.detail, term, transactions: count },
        "No usable answer from the scheduler; sending again.",
      );
      return { verdicts: null, isMaybeSent: true, why: code };
    }
  }
}

/** Rejections are met by whoever waits for the promise too. */
const ignore = (): undefined => undefined;

function submitMetrics(telemetry: Telemetry, inFlight: () => number) {
  const description = "Transactions that wait for a verdict";
  telemetry.gauge("meridian.gateway.submit.waiting", "{transaction}", description, () => [{ value: inFlight() }]);
  return {
    attempts: telemetry.counter("meridian.gateway.submit.attempts", "{message}", "Messages sent to the scheduler"),
    transactions: telemetry.histogram("meridian.gateway.submit.transactions", "{transaction}", "Transactions of one message"),
    ms: telemetry.histogram("meridian.gateway.submit.duration", "ms", "From the first attempt to the verdict"),
  };
}

/**
 * Not the leader's last word: a deposed one refused part of it, or, after an attempt whose answer was lost, the transaction
 * itself is what stands there waiting for its turn.
 */
function mustAskAgain({ codes }: Verdicts, wasSent: boolean): boolean {
  return codes.includes(SUBMIT.notLeader) || (wasSent && codes.includes(SUBMIT.alreadyKnown));
}

function verdictsOf(count: number, code: number): Verdicts {
  return { codes: new Uint8Array(count).fill(code), details: new Float64Array(count) };
}

/** Refused for what it met, not for what it is. */
const hadNoRoom = (code: number): boolean => NO_ROOM.includes(code);
const NO_ROOM: readonly number[] = [
  SUBMIT.senderLimit,
  SUBMIT.busy,
  SUBMIT.partitionFull,
  SUBMIT.partitionSilent,
  SUBMIT.logFull,
  VERDICT.notSent,
  VERDICT.unknown,
];

function joinVerdicts(parts: readonly Verdicts[]): Verdicts {
  const count = parts.reduce((sum, { codes }) => sum + codes.length, 0);
  const [codes, details] = [new Uint8Array(count), new Float64Array(count)];
  let at = 0;
  for (const part of parts) {
    codes.set(part.codes, at);
    details.set(part.details, at);
    at += part.codes.length;
  }
  return { codes, details };
}

function cutApart(group: readonly Waiting[], { codes, details }: Verdicts): [Waiting, Verdicts][] {
  let start = 0;
  return group.map((submission) => {
    const end = start + submission.count;
    const own = { codes: codes.slice(start, end), details: details.slice(start, end) };
    start = end;
    return [submission, own];
  });
}

function numbersOf(codes: Uint8Array, wanted: number): number[] {
  const numbers: number[] = [];
  codes.forEach((code, number) => {
    if (code === wanted) numbers.push(number);
  });
  return numbers;
}
