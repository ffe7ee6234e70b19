/**
 * Who sends what and when: arithmetic only.
 *
 * Calls are numbered from 0 in the order in which they are sent. `signedCalls` calls stand under one signature (1: a single
 * transaction) and make a unit; `units` units make a request. Units go to the senders in turn, so that a sender's next one is
 * sent as late as can be: its nonces then arrive in their order also where requests overtake each other.
 */
import { assert } from "@meridian/core";

export type Mode = "singles" | "batches" | "jsonrpc";
export const MODES: readonly Mode[] = ["singles", "batches", "jsonrpc"];

export interface LoadPlan {
  mode: Mode;
  requests: number;
  /** Units in one request. */
  units: number;
  /** Calls in one unit. */
  signedCalls: number;
  senders: number;
  /** The first nonce of each sender. */
  firstNonces: readonly number[];
}

export const callsOf = ({ requests, units, signedCalls }: LoadPlan): number => requests * units * signedCalls;
export const unitsOf = ({ requests, units }: LoadPlan): number => requests * units;
export const callsPerRequest = ({ units, signedCalls }: LoadPlan): number => units * signedCalls;

export const senderOf = ({ senders }: LoadPlan, unit: number): number => unit % senders;
export const unitOf = ({ signedCalls }: LoadPlan, call: number): number => Math.floor(call / signedCalls);
export const requestOf = (plan: LoadPlan, call: number): number => Math.floor(call / callsPerRequest(plan));

/** Nonce of the first call of a unit. */
export function nonceOf(plan: LoadPlan, unit: number): number {
  const round = Math.floor(unit / plan.senders);
  return (plan.firstNonces[senderOf(plan, unit)] ?? 0) + round * plan.signedCalls;
}

/** The next nonce of a sender after all of the load. */
export function endNonceOf(plan: LoadPlan, sender: number): number {
  const units = Math.floor((unitsOf(plan) - sender + plan.senders - 1) / plan.senders);
  return (plan.firstNonces[sender] ?? 0) + units * plan.signedCalls;
}

export interface Shape {
  mode: Mode;
  rate: number; // calls a second
  seconds: number; // warm-up included
  /** Calls under one signature; 1 if not `batches`. */
  signedCalls: number;
  /** Calls in one request. */
  requestCalls: number;
  /** Undefined: as many as keep two units of one sender `SENDER_PAUSE_SECONDS` apart. */
  senders: number | undefined;
}

/** Between two units of one sender: longer than any answer should take. */
export const SENDER_PAUSE_SECONDS = 3;
const SENDERS_MIN = 64;
const SENDERS_MAX = 50_000;

/** The plan's numbers but for the nonces, which the deployment decides. */
export function shapePlan({ mode, rate, seconds, signedCalls, requestCalls, senders }: Shape): Omit<LoadPlan, "firstNonces"> {
  assert(signedCalls === 1 || mode === "batches", "only batches have several calls under one signature");
  const units = Math.max(1, Math.round(requestCalls / signedCalls));
  const requests = Math.max(1, Math.ceil((rate * seconds) / (units * signedCalls)));
  const wanted = Math.ceil((rate / signedCalls) * SENDER_PAUSE_SECONDS);
  const most = Math.max(1, Math.min(SENDERS_MAX, requests * units));
  return { mode, requests, units, signedCalls, senders: senders ?? Math.min(most, Math.max(SENDERS_MIN, wanted)) };
}
