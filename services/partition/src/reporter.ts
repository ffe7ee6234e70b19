/** Says what a partition has done, again and again: repeated state, so a lost report costs nothing. */
import { SUBJECT, encodeReport } from "@meridian/bus";
import type { Clock, Report, Wire } from "@meridian/core";
import type { ActorLimits } from "./ports.ts";

export class Reporter {
  readonly #wire: Wire;
  readonly #clock: Clock;
  readonly #limits: ActorLimits;
  readonly #report: () => Report;
  #saidAt = Number.NEGATIVE_INFINITY;
  #cancel: () => void = () => undefined;

  constructor(wire: Wire, clock: Clock, limits: ActorLimits, report: () => Report) {
    this.#wire = wire;
    this.#clock = clock;
    this.#limits = limits;
    this.#report = report;
  }

  /** Says it now, and again `reportMs` after each time. */
  now(): void {
    this.#say();
  }

  /** After work: now, or as soon as `reportAfterMs` has passed since the last one. */
  worked(): void {
    const since = this.#clock.now() - this.#saidAt;
    if (since >= this.#limits.reportAfterMs) return this.#say();
    this.#cancel();
    this.#cancel = this.#clock.after(this.#limits.reportAfterMs - since, () => this.#say());
  }

  stop(): void {
    this.#cancel();
  }

  #say(): void {
    this.#cancel();
    this.#saidAt = this.#clock.now();
    const report = this.#report();
    this.#wire.publish(SUBJECT.report(report.partition), encodeReport(report));
    this.#cancel = this.#clock.after(this.#limits.reportMs, () => this.#say());
  }
}
