export { batchActions } from "./actions.ts";
export type { BatchActions, SendBatch, SentBatch } from "./actions.ts";
export { PostError, SignedBatchError } from "./errors.ts";
export { postTransactions, unpackReceipts } from "./post.ts";
export type { BlockReceipts, CallReceipt, Posted, PostOptions, Refused } from "./post.ts";
export {
  BATCH_BYTES_MAX,
  BATCH_TYPE,
  CALLS_MAX,
  batchId,
  callHash,
  callHashes,
  parseBatch,
  serializeBatch,
  serializeMeridian,
} from "./serialize.ts";
export type { Batch, BatchCall, SerializedBatch } from "./serialize.ts";
export { hashBatch, recoverBatchSender, signBatch } from "./sign.ts";
export type { BatchAccount } from "./sign.ts";
