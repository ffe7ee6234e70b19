/**
 * A leader's term: one loop between submits, reports and built blocks on one side and LOG on the other. Core decides, this file
 * performs. One append is outstanding at most; what comes meanwhile goes into the next flush.
 */
import {
  SUBJECT,
  decodeAdminRequest,
  decodeBeat,
  decodeBuilt,
  decodeGroupProposal,
  decodeMisses,
  decodeReadReply,
  decodeReport,
  encodeAdminReply,
  encodeBeat,
  encodeReadRequest,
  encodeSubmitReply,
} from "@meridian/bus";
import type { Clock } from "@meridian/core";
import {
  BugError,
  GAP_HEADER,
  assert,
  beatOf,
  failNonces,
  flushAppended,
  flushFull,
  hexOf,
  isIoError,
  nextFlushAt,
  planFlush,
  stepDown,
  submitRecords,
  submitsInFlight,
  takeAdmin,
  takeBuilt,
  takeEffects,
  takeGroupProposal,
  takeMisses,
  takeNonces,
  takeReport,
  tickSequencer,
} from "@meridian/core";
import type { FlushPlan, Headers, LogWriter, Sequencer, SequencerEffect, Span, Telemetry, WireMessage } from "@meridian/core";
import { Sleeper } from "./clock.ts";
import type { SchedulerMetrics } from "./metrics.ts";
import type { SchedulerPorts, SchedulerTiming } from "./ports.ts";

/** Why a term ended. `lost`: an append's outcome is not known, or LOG cannot be reached. */
export type TermEnd = "stopped" | "fenced" | "lost";

/** Submits named by one flush's span. */
const LINKS_MAX = 64;

export interface LeaderStart {
  instance: string;
  writer: LogWriter;
  sequencer: Sequencer;
  timing: SchedulerTiming;
  metrics: SchedulerMetrics;
  /** A clock that leaves out pauses of this process; the sequencer's times are its times. */
  clock: Clock;
  /** Answers administrators. */
  admin: boolean;
}

export class Leader {
  readonly #ports: SchedulerPorts;
  readonly #start: LeaderStart;
  readonly #sequencer: Sequencer;
  readonly #telemetry: Telemetry;
  readonly #clock: Clock;
  readonly #sleeper: Sleeper;
  /** Unanswered submits by the sequencer's number. */
  readonly #messages: (WireMessage | undefined)[] = [];
  #end: TermEnd | undefined;
  /** Everything is answered: what comes now is not looked at. */
  #isOver = false;
  #failure: Error | undefined;
  #cancelTick: () => void = () => undefined;
  #cancelBeat: () => void = () => undefined;

  constructor(ports: SchedulerPorts, start: LeaderStart) {
    this.#ports = ports;
    this.#start = start;
    this.#sequencer = start.sequencer;
    this.#telemetry = ports.telemetry;
    this.#clock = start.clock;
    this.#sleeper = new Sleeper(start.clock);
  }

  /** Leads until deposed, lost or stopped; everything open has been answered then. Throws what must stop the process. */
  async run(signal: AbortSignal): Promise<TermEnd> {
    const { wire } = this.#ports.bus;
    const { term } = this.#sequencer;
    const subscriptions = [
      wire.subscribe(SUBJECT.submit(term), (message) => this.#on(() => this.#submit(message))),
      wire.subscribe(SUBJECT.reports, ({ payload }) =>
        this.#on((now) => takeReport(this.#sequencer, decodeReport(payload), now)),
      ),
      wire.subscribe(SUBJECT.misses, ({ payload }) => this.#on((now) => takeMisses(this.#sequencer, decodeMisses(payload), now))),
      wire.subscribe(SUBJECT.proposal, ({ payload }) =>
        this.#on((now) => takeGroupProposal(this.#sequencer, decodeGroupProposal(payload), now)),
      ),
      ...(this.#start.admin ? [wire.subscribe(SUBJECT.admin, (message) => this.#on(() => this.#admin(message)))] : []),
      wire.subscribe(SUBJECT.built, ({ payload }) => this.#on(() => takeBuilt(this.#sequencer, decodeBuilt(payload)))),
      wire.subscribe(SUBJECT.beat, ({ payload }) => this.#on(() => this.#heard(payload))),
    ];
    const stop = () => this.#finish("stopped");
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    this.#beat();
    this.#tick();
    try {
      return await this.#loop();
    } finally {
      signal.removeEventListener("abort", stop);
      for (const unsubscribe of subscriptions) unsubscribe();
      this.#cancelTick();
      this.#cancelBeat();
      this.#isOver = true;
      stepDown(this.#sequencer);
      this.#perform();
    }
  }

  async #loop(): Promise<TermEnd> {
    const { unixMs, randomBytes } = this.#ports;
    while (this.#end === undefined) {
      const startedAt = this.#clock.now();
      const plan = planFlush(this.#sequencer, startedAt, unixMs(), () => randomBytes(32));
      this.#perform();
      if (plan === undefined) await this.#sleeper.sleepUntil(nextFlushAt(this.#sequencer));
      else await this.#append(plan, this.#clock.now() - startedAt);
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.#end;
  }

  async #append(plan: FlushPlan, buildMs: number): Promise<void> {
    const { writer, metrics } = this.#start;
    const span = this.#openSpan(plan);
    const startedAt = this.#clock.now();
    try {
      const result = await writer.append(plan.flush, plan.messages, span.headers());
      const now = this.#clock.now();
      span.set({ "meridian.outcome": result.outcome });
      if (result.outcome === "appended") {
        flushAppended(this.#sequencer, now);
        metrics.flushed(plan, buildMs, now - startedAt);
        this.#checkPositions(plan);
      } else if (result.outcome === "full") {
        this.#telemetry.log.error({ text: result.text }, "The server has no room for LOG: transactions are refused");
        flushFull(this.#sequencer, now);
      } else {
        this.#telemetry.log.warn({ term: this.#sequencer.term, by: result.term }, "Deposed");
        this.#finish("fenced");
      }
      span.end();
    } catch (error) {
      span.end(error);
      if (!isIoError(error) || error.retry === "never") throw error;
      this.#telemetry.log.error({ ...error.detail, flush: plan.flush }, "The outcome of an append is not known: stepping down");
      this.#finish("lost");
    }
    this.#perform();
  }

  /** The writer counts for itself; both must agree about every log. */
  #checkPositions({ messages, flush }: FlushPlan): void {
    const { writer } = this.#start;
    const positions = new Map(this.#sequencer.positions);
    assert(writer.flush === flush, `flush ${flush} was appended as ${writer.flush}`);
    for (const { partition } of messages) {
      assert(writer.position(partition).n === positions.get(partition), `log ${partition} stands elsewhere than counted`);
    }
  }

  /** One span for each flush with transactions: child of its first submit, linked with the others. */
  #openSpan(plan: FlushPlan): Span {
    const attributes = { "meridian.flush": plan.flush, "meridian.transactions": plan.transactions };
    if (!this.#telemetry.on || plan.transactions === 0) return this.#telemetry.span("flush", { kind: "producer", attributes });
    const [parent, ...links] = submitsInFlight(this.#sequencer, LINKS_MAX).flatMap((submit): Headers[] => {
      const headers = this.#messages[submit]?.headers;
      return headers?.["traceparent"] === undefined ? [] : [headers];
    });
    return this.#telemetry.span("flush", { kind: "producer", links, attributes, ...(parent === undefined ? {} : { parent }) });
  }

  #submit(message: WireMessage): void {
    const refusesGaps = message.headers[GAP_HEADER] === "refuse";
    const submit = submitRecords(this.#sequencer, message.payload, refusesGaps, this.#clock.now());
    if (submit >= 0) this.#messages[submit] = message;
    else this.#telemetry.log.error({ bytes: message.payload.length }, "A submit is malformed and gets no answer");
  }

  #admin(message: WireMessage): void {
    const request = decodeAdminRequest(message.payload);
    const reply = takeAdmin(this.#sequencer, request);
    if (request.op !== "map") this.#telemetry.log.info({ ...request, reply: reply.op }, "An administrator asked");
    message.respond(encodeAdminReply(reply));
  }

  #heard(payload: Uint8Array): void {
    const { term, leader } = decodeBeat(payload);
    if (term <= this.#sequencer.term) return;
    this.#telemetry.log.warn({ term: this.#sequencer.term, by: term, leader }, "Another leader is heard");
    this.#finish("fenced");
  }

  /** Runs one handler; a message that cannot be read is no reason to stop, a bug is. */
  #on(handle: (now: number) => void): void {
    if (this.#isOver) return;
    try {
      handle(this.#clock.now());
      this.#perform();
    } catch (error) {
      if (isIoError(error)) this.#telemetry.log.warn({ ...error.detail }, "A message could not be read");
      else this.#fail(error);
    }
    this.#sleeper.wakeBy(nextFlushAt(this.#sequencer));
  }

  #perform(): void {
    for (const effect of takeEffects(this.#sequencer)) this.#performOne(effect);
  }

  #performOne(effect: SequencerEffect): void {
    switch (effect.kind) {
      case "reply":
        this.#messages[effect.submit]?.respond(encodeSubmitReply(effect.reply));
        this.#messages[effect.submit] = undefined;
        return;
      case "ask":
        void this.#ask(effect);
        return;
      case "sealed":
      case "draining":
      case "askAgain":
        this.#sayBeat();
        return;
      case "moveFailed":
        this.#telemetry.log.error({ version: effect.version }, "Ranges were not written out in time; they stay where they are");
        return;
      case "publishMap":
        void this.#ports.bus.settings
          .putMap(effect.map)
          .catch((error: unknown) => this.#noteFailure(error, "The map is not published"));
        return;
      case "unequalBlocks": {
        const { number, archive } = effect;
        const facts = { number, archive, first: hexOf(effect.first), other: hexOf(effect.other) };
        this.#telemetry.log.error(facts, "Two archives built different blocks; the first one counts");
        this.#start.metrics.disagreed();
        return;
      }
    }
  }

  async #ask({ partition, atN, addresses }: Extract<SequencerEffect, { kind: "ask" }>): Promise<void> {
    let nonces: Uint8Array | undefined;
    try {
      const timeoutMs = this.#start.timing.nonceRequestMs;
      const request = encodeReadRequest({ op: "nonces", atN, addresses });
      const reply = decodeReadReply(await this.#ports.bus.wire.request(SUBJECT.read(partition), request, { timeoutMs }));
      if (reply.op === "nonces") nonces = reply.nonces;
      else this.#telemetry.log.warn({ partition, reply: reply.op, ...("failure" in reply ? reply.failure : {}) }, "No nonces");
    } catch (error) {
      this.#noteFailure(error, `No nonces from partition ${partition}`);
    }
    this.#on((now) => {
      if (nonces === undefined) failNonces(this.#sequencer, partition, now);
      else takeNonces(this.#sequencer, partition, nonces, now);
    });
  }

  #noteFailure(error: unknown, text: string): void {
    if (isIoError(error)) this.#telemetry.log.warn({ ...error.detail }, text);
    else this.#fail(error);
  }

  #tick(): void {
    this.#on((now) => tickSequencer(this.#sequencer, now));
    this.#start.metrics.decided();
    if (!this.#isOver) this.#cancelTick = this.#clock.after(this.#start.timing.tickMs, () => this.#tick());
  }

  #beat(): void {
    this.#sayBeat();
    this.#cancelBeat = this.#clock.after(this.#start.timing.beatMs, () => this.#beat());
  }

  #sayBeat(): void {
    if (this.#end !== undefined) return;
    this.#ports.bus.wire.publish(SUBJECT.beat, encodeBeat(beatOf(this.#sequencer, this.#start.instance)));
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new BugError(`bug: ${String(error)}`);
    this.#finish("lost");
  }

  #finish(end: TermEnd): void {
    this.#end ??= end;
    this.#sleeper.wake();
  }
}
