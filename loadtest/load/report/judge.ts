/** What must hold for a run to be a success; everything that does not is a sentence. */
import { callsPerRequest } from "../plan.ts";
import type { Sent } from "../run-k6.ts";
import type { LoadNumbers, Measured } from "./report.ts";

export interface Verdict {
  name: "rate" | "answers" | "receipts" | "balances" | "recovery";
  isGood: boolean;
  text: string;
}

export interface Balances {
  checked: number;
  wrong: readonly string[];
}

/** Confirmed may be this much below the rate; beside it what stands in half a block at each end. */
const RATE_TOLERANCE = 0.02;
/** After more than it can take, a cluster is back when nothing is left of it. */
const RECOVERY_SECONDS_MAX = 30;
const SHOWN_MAX = 3;

/** @param isOverload more was sent than fits: what was refused has no receipt, and nothing else must be missing */
export function judge(
  measured: Measured,
  numbers: LoadNumbers,
  balances: Balances,
  { isOverload, blockMs }: { isOverload: boolean; blockMs: number },
): Verdict[] {
  const kept = isOverload
    ? [answersOfOverload(measured), recovery(numbers)]
    : [rate(measured, numbers, blockMs), answers(measured)];
  const counted = isOverload ? receiptsOfOverload(measured) : receipts(measured);
  const { checked, wrong } = balances;
  const shown = wrong.slice(0, SHOWN_MAX).join("; ");
  const text = wrong.length === 0 ? `${checked} balances are exact` : `${wrong.length} of ${checked} are wrong: ${shown}`;
  return [...kept, counted, { name: "balances", isGood: wrong.length === 0 && checked > 0, text }];
}

function rate(
  { rate: wanted, plan, k6 }: Measured,
  { confirmedTps, droppedIterations, seconds }: LoadNumbers,
  blockMs: number,
): Verdict {
  const slack = RATE_TOLERANCE + (seconds > 0 ? blockMs / 1000 / seconds : 0);
  const isSent = droppedIterations === 0 && k6.sent.length === plan.requests;
  const isKept = confirmedTps >= wanted * (1 - slack);
  const sent = `${k6.sent.length} of ${plan.requests} requests sent, ${droppedIterations} dropped`;
  return { name: "rate", isGood: isSent && isKept, text: `${Math.round(confirmedTps)} of ${wanted} a second confirmed; ${sent}` };
}

/** The first words of those that were not answered as they should be. */
const words = (bad: readonly Sent[]): string =>
  [...new Set(bad.map(({ why, status }) => why || `HTTP ${status}`))].slice(0, SHOWN_MAX).join("; ");

function answers({ plan, k6, isWaiting }: Measured): Verdict {
  const isBad = ({ status, accepted, refused, isEnded, receipts: told }: Sent) =>
    status !== 200 || refused > 0 || accepted !== callsPerRequest(plan) || (isWaiting && (!isEnded || told !== accepted));
  const bad = k6.sent.filter(isBad);
  const text =
    bad.length === 0 ? `all ${k6.sent.length} requests accepted whole` : `${bad.length} requests were not: ${words(bad)}`;
  return { name: "answers", isGood: bad.length === 0 && k6.sent.length > 0, text };
}

/** Each request is taken or refused with a status and words; none is left without an answer. */
function answersOfOverload({ k6 }: Measured): Verdict {
  const silent = k6.sent.filter(({ status }) => status === 0 || status >= 500);
  const refused = k6.sent.filter(({ status, refused: some }) => status === 429 || some > 0);
  const text = `${refused.length} of ${k6.sent.length} requests refused${refused.length === 0 ? "" : ` (${words(refused)})`}`;
  return {
    name: "answers",
    isGood: silent.length === 0,
    text: silent.length === 0 ? text : `${text}; ${silent.length}: ${words(silent)}`,
  };
}

function recovery({ drainSeconds }: LoadNumbers): Verdict {
  const text = `the last receipt came ${drainSeconds.toFixed(1)} s after the last request`;
  return { name: "recovery", isGood: drainSeconds <= RECOVERY_SECONDS_MAX, text };
}

function receipts({ receipts: read }: Measured): Verdict {
  const { confirmed, failed, twice, foreign, missing } = read;
  const isGood = missing === 0 && failed === 0 && twice === 0 && foreign === 0 && confirmed > 0;
  const text = `${confirmed} receipts, ${missing} missing, ${failed} failed, ${twice} twice, ${foreign} of nobody`;
  return { name: "receipts", isGood, text };
}

function receiptsOfOverload({ receipts: read, plan, k6 }: Measured): Verdict {
  const calls = callsPerRequest(plan);
  let lost = 0;
  for (const { request, accepted } of k6.sent) {
    let found = 0;
    for (let call = request * calls; call < (request + 1) * calls; call++) if (read.hasReceipt(call)) found++;
    lost += Math.max(0, accepted - found);
  }
  const { confirmed, failed, twice, foreign } = read;
  const isGood = lost === 0 && failed === 0 && twice === 0 && foreign === 0 && confirmed > 0;
  return {
    name: "receipts",
    isGood,
    text: `${confirmed} receipts, ${lost} of accepted calls missing, ${failed} failed, ${twice} twice`,
  };
}
