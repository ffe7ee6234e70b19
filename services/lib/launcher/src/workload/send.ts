/**
 * Sends prepared transactions in batches until every one is answered for good.
 *
 * S1. Acknowledged means: the node answered with the hash. A transaction without an answer (the connection broke, the node was
 *     busy) is sent again as it is; the chain must not run it twice, and says its hash again.
 * S2. Lanes run beside each other; within a lane the next batch waits for the answer of the one before.
 */
import { setTimeout as delay } from "node:timers/promises";
import { IoError } from "@meridian/core";
import type { RpcAnswer, RpcClient } from "./rpc.ts";
import type { Signed } from "./sign.ts";

export interface SendOptions {
  batch: number;
  /** Give up when nothing was acknowledged for this long. */
  stallMsMax: number;
  /** False: an answer other than the hash throws at once. True: busy answers and broken connections are tried again. */
  isPatient: boolean;
  /** Stops sending after the batch under way. */
  signal?: AbortSignal;
  onAcknowledged?: (transaction: Signed, sentAt: number, acknowledgedAt: number) => void;
}

const RETRY_MS = 100;

/** Texts of refusals that a later try can turn into a hash. */
const RETRY_TEXT = /send again|not sent|does not answer|did not answer|already known|may wait|nonce too high|too many|busy/i;

/** @throws IoError SEND with the first answer that is neither a hash nor worth another try */
export async function sendLane(rpc: RpcClient, transactions: readonly Signed[], options: SendOptions): Promise<void> {
  let progressAt = Date.now();
  for (let first = 0; first < transactions.length && options.signal?.aborted !== true; first += options.batch) {
    let open = transactions.slice(first, first + options.batch);
    while (open.length > 0) {
      const sentAt = performance.now();
      const answers = await sendBatch(rpc, open, options.isPatient);
      const acknowledgedAt = performance.now();
      const left: Signed[] = [];
      for (const [index, transaction] of open.entries()) {
        if (isHash(transaction, answers[index], options.isPatient)) options.onAcknowledged?.(transaction, sentAt, acknowledgedAt);
        else left.push(transaction);
      }
      if (left.length < open.length) progressAt = Date.now();
      open = left;
      if (open.length === 0) break;
      if (Date.now() - progressAt > options.stallMsMax) {
        const text = `nothing acknowledged for ${options.stallMsMax} ms; last answer: ${JSON.stringify(answers[0] ?? "none")}`;
        throw new IoError({ code: "SEND", text }, "later");
      }
      await delay(RETRY_MS);
    }
  }
}

async function sendBatch(rpc: RpcClient, transactions: readonly Signed[], isPatient: boolean): Promise<RpcAnswer[]> {
  const bodies = transactions.map(
    ({ raw }, id) => `{"jsonrpc":"2.0","id":${id},"method":"eth_sendRawTransaction","params":["${raw}"]}`,
  );
  try {
    return await rpc.batchText(`[${bodies.join(",")}]`, transactions.length);
  } catch (error) {
    if (!isPatient || !(error instanceof IoError)) throw error;
    return []; // Unknown outcome for the whole batch: sent again.
  }
}

function isHash(transaction: Signed, answer: RpcAnswer | undefined, isPatient: boolean): boolean {
  if (answer !== undefined && "result" in answer) {
    if (answer.result === transaction.hash) return true;
    throw new IoError({ code: "SEND", text: `sent ${transaction.hash}, answered ${JSON.stringify(answer.result)}` }, "never");
  }
  if (isPatient && (answer === undefined || RETRY_TEXT.test(answer.error.message))) return false;
  const said = JSON.stringify(answer ?? "no answer");
  const text = `transaction of ${transaction.sender.address} with nonce ${transaction.nonce}: ${said}`;
  throw new IoError({ code: "SEND", text }, "never");
}
