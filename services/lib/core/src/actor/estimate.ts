/**
 * The gas that a call needs, found as geth's gas estimator finds it: a run at the cap, a guess from what it used, then halving
 * until the bounds are within 1.5% of each other. A pure stepper: the caller runs the call with `gasLimit` and says what came.
 */
export const ESTIMATE_GAS_MIN = 21_000; // of any transaction
/** EIP-7825: no transaction may have more. */
export const ESTIMATE_GAS_MAX = 16_777_216;
const ERROR_RATIO = 0.015; // geth: the caller would rather wait less than know exactly
const STIPEND_GAS = 2_300; // kept back for a callee that gets value

export interface Estimate {
  phase: "least" | "cap" | "guess" | "search" | "done" | "failed";
  /** Too little: fails with this much. */
  low: number;
  /** Enough, once the run at the cap succeeded. */
  high: number;
  /** What to run the call with next; in phase `done` the answer. */
  gasLimit: number;
}

/**
 * @param gasLimit   the caller's own bound; 0 for none
 * @param isTransfer the call has no data and a receiver: then 21,000 is tried first, which answers a plain transfer exactly
 */
export function startEstimate(gasLimit: number, isTransfer: boolean): Estimate {
  const high = gasLimit >= ESTIMATE_GAS_MIN ? Math.min(gasLimit, ESTIMATE_GAS_MAX) : ESTIMATE_GAS_MAX;
  const low = ESTIMATE_GAS_MIN - 1;
  return isTransfer ? { phase: "least", low, high, gasLimit: ESTIMATE_GAS_MIN } : { phase: "cap", low, high, gasLimit: high };
}

/** The next step after the call ran with `estimate.gasLimit`. */
export function stepEstimate(estimate: Estimate, isSuccess: boolean, gasUsed: number): Estimate {
  const { phase, low, high, gasLimit } = estimate;
  if (phase === "least") {
    return isSuccess ? { ...estimate, phase: "done", high: gasLimit } : { ...estimate, phase: "cap", gasLimit: high };
  }
  if (phase === "cap") {
    if (!isSuccess) return { ...estimate, phase: "failed" };
    // What an unbounded run uses is the least it needs; often a little more is enough (a caller keeps 1/64 back for itself).
    const floor = Math.max(gasUsed - 1, low);
    const guess = Math.floor(((gasUsed + STIPEND_GAS) * 64) / 63);
    return guess < high ? { phase: "guess", low: floor, high, gasLimit: guess } : search(floor, high);
  }
  return isSuccess ? search(low, gasLimit) : search(gasLimit, high);
}

function search(low: number, high: number): Estimate {
  if (low + 1 >= high || (high - low) / high < ERROR_RATIO) return { phase: "done", low, high, gasLimit: high };
  // Most calls need little more than the lower bound, so the first steps do not go beyond twice of it.
  return { phase: "search", low, high, gasLimit: Math.min(Math.floor((low + high) / 2), low * 2) };
}
