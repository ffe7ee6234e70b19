/** Every bound of the gateway, with its default. Times in milliseconds. */

export interface Limits {
  /** Of a request's body; geth: 5 MiB. Packed records are shorter than their JSON, so this also bounds a submit. */
  bodyBytesMax: number;
  /** Calls of one batch; geth: 1,000. */
  batchMax: number;
  /** Of a response; geth: 25 MB. */
  responseBytesMax: number;
  /** Calls of one batch that run at once. */
  batchCallsMax: number;
  /** Calls a second from one address; 0 for any number. */
  callsPerSecondMax: number;
  connectionsMax: number;
  headersMsMax: number;
  /** From the first byte of a request to the last of its body. */
  requestMsMax: number;
  /** An idle connection is kept open; longer than load balancers keep theirs. */
  idleMsMax: number;

  /** Of a binary body: bytes, inputs and calls of all inputs. */
  binaryBytesMax: number;
  binaryCallsMax: number;
  /** A worker gets so many inputs of a binary body at once: 20 ms of work. */
  partInputs: number;

  /** Bodies that wait for a worker, their bytes, and about how many signatures are in them: a second of work or two. */
  workerQueueMax: number;
  workerQueueBytesMax: number;
  workerQueueSignaturesMax: number;

  /** EIP-7825. */
  transactionGasMax: number;
  /** Of one raw transaction; geth: 128 KiB. */
  transactionBytesMax: number;
  /** Of eth_call; geth: 50 million. */
  callGasMax: number;

  mergeMs: number;
  mergeBytesMax: number;
  submitAttemptMsMax: number;
  submitMsMax: number;
  submitInFlightMax: number;

  /** Of one request to a partition or archive: they wait up to 2 s for a block. */
  readMsMax: number;
  /** How long to ask again while nobody is there to answer. */
  absentMsMax: number;
  /** A leader that is not heard for as long leads no more, as far as the gateway knows. */
  beatSilenceMsMax: number;
  /** How long a call waits for the first beat. */
  firstBeatMsMax: number;
  /** How long a call at present waits for the seal of a block whose hash it asks for. */
  sealMsMax: number;
  /** How long to wait at start for a chain to exist. */
  startMsMax: number;

  /** eth_sendRawTransactionSync: how long to wait if the client does not say, and at most. geth: 20 s, 60 s. */
  syncMs: number;
  syncMsMax: number;
  /** Calls whose receipts are streamed, over all responses; how long one waits, and then still for its client to read. */
  streamCallsMax: number;
  streamMsMax: number;
  streamDrainMsMax: number;
  /** A question to the archive that had no answer is asked again after this pause; transactions of one question. */
  streamRetryMs: number;
  outcomesMax: number;
  /** Acknowledged transactions that are remembered until an archive surely has them. */
  recentBytesMax: number;
  recentMsMax: number;
  /** How long requests in progress may take when the gateway stops. */
  stopMsMax: number;
}

const MIB = 1024 * 1024;

/** Records of one body must fit into one NATS message of 8 MiB beside nothing else. */
export const BODY_BYTES_LIMIT = 7 * MIB;

export const LIMITS: Limits = {
  bodyBytesMax: 5 * MIB,
  batchMax: 1_000,
  responseBytesMax: 25_000_000,
  batchCallsMax: 32,
  callsPerSecondMax: 50_000,
  connectionsMax: 10_000,
  headersMsMax: 10_000,
  requestMsMax: 30_000,
  idleMsMax: 120_000,
  binaryBytesMax: 16 * MIB,
  binaryCallsMax: 16_384,
  partInputs: 512,
  workerQueueMax: 1_024,
  workerQueueBytesMax: 128 * MIB,
  workerQueueSignaturesMax: 32_768,
  transactionGasMax: 16_777_216,
  transactionBytesMax: 131_072,
  callGasMax: 50_000_000,
  mergeMs: 1,
  mergeBytesMax: 512 * 1024,
  submitAttemptMsMax: 4_000,
  submitMsMax: 10_000,
  submitInFlightMax: 100_000,
  readMsMax: 5_000,
  absentMsMax: 2_000,
  beatSilenceMsMax: 3_000,
  firstBeatMsMax: 2_000,
  sealMsMax: 2_000,
  startMsMax: 60_000,
  syncMs: 20_000,
  syncMsMax: 60_000,
  streamCallsMax: 500_000,
  streamMsMax: 30_000,
  streamDrainMsMax: 10_000,
  streamRetryMs: 200,
  outcomesMax: 16_384,
  recentBytesMax: 32 * MIB,
  recentMsMax: 10_000,
  stopMsMax: 4_000,
};
