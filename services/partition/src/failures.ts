/** Which failures end a partition for good. */
import { isIoError } from "@meridian/core";

/** Failures that another try cannot mend: the log, OUT or a snapshot has to be looked at by a person. */
const FINAL_CODES = new Set([
  "GAP",
  "CHAIN_BROKEN",
  "FORMAT_UNKNOWN",
  "MALFORMED",
  "RULES_UNKNOWN",
  "LOG_INVALID",
  "GENESIS_DAMAGED",
  "HAND_OVER_DAMAGED",
  "SNAPSHOT_DAMAGED",
  "OUT_GAP",
  "OUT_UNEQUAL",
]);

/** True if the failure is one that a partition stops for. */
export const isFinal = (error: unknown): boolean => isIoError(error) && FINAL_CODES.has(error.detail.code);
