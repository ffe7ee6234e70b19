/** Requests to partitions and archives, asked again for a bounded time while nobody is there to answer. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Headers, Wire } from "@meridian/core";
import { isIoError } from "@meridian/core";

export interface AskOptions {
  /** Trace context of the request that the questions are for. */
  headers?: Headers;
  /** Of one request: longer than a partition waits for a block. */
  timeoutMs: number;
  /** How long to ask again while nobody is there, or no server: what restarts needs moments. */
  absentMsMax: number;
}

const ABSENT_POLL_MS = 50;

/** @throws IoError NO_RESPONDERS | TIMEOUT | UNREACHABLE */
export async function ask(wire: Wire, subject: string, payload: Uint8Array, options: AskOptions): Promise<Uint8Array> {
  const { timeoutMs, absentMsMax, headers = {} } = options;
  const deadlineAt = performance.now() + absentMsMax;
  for (;;) {
    try {
      return await wire.request(subject, payload, { timeoutMs, headers });
    } catch (error) {
      const isAbsent = isIoError(error, "NO_RESPONDERS") || isIoError(error, "UNREACHABLE");
      if (!isAbsent || performance.now() >= deadlineAt) throw error;
    }
    await sleep(ABSENT_POLL_MS);
  }
}
