import { UNSEALED_MAX } from "../history/history-account.ts";
import type { LockLimits } from "./lock-machine.ts";
import { lockLimits } from "./lock-machine.ts";
import type { PredictorLimits } from "./predict.ts";
import { predictorLimits } from "./predict.ts";

/** Bounds of the sequencer. Every queue, wait and batch has one; what goes over it is refused by a code that names it. */
export interface SequencerLimits {
  /** Senders remembered; beyond that the one unused longest and with nothing open is forgotten and asked again. */
  sendersMax: number;
  /** Hashes of transactions sequenced last, to recognise one that comes again. */
  recentHashesMax: number;
  /** How far ahead of its turn a nonce may be, hence how many a sender may have waiting behind a gap. */
  gapMax: number;
  gapMs: number; //                 how long a record waits for the gap before it to close
  askMs: number; //                 how long a record waits for its sender's nonce
  readyMs: number; //               how long a record whose turn it is waits for room; gateways ask again after 4 s
  readyPerSenderMax: number; //     records of one sender whose turn it is, or whose nonce is being asked
  senderRatePerSecond: number; //   transactions one sender may send in the long run
  senderBurst: number; //           and at once
  queueRecordsMax: number; //       waiting records; at most half of them behind gaps
  /** Records of one sender above which it leaves a quarter of that to others. */
  queueFairMax: number;
  queueBytesMax: number; //         bytes of submits not answered yet
  submitsMax: number; //            submits not answered yet
  recordBytesMax: number; //        of one packed transaction record
  flushTransactionsMax: number;
  flushBytesMax: number; //         transactions and nonce records of one flush, over all partitions
  flushGasMax: number; //           declared gas of one flush, unless its first transaction alone has more: it runs in one go
  flushMs: number; //               a flush waits at most this long for more
  silentMs: number; //              a partition that has not reported for so long is silent
  lagBytesMax: number; //           appended to a partition's log by this leader and not reported as applied
  lagMessagesMax: number;
  unsealedMax: number; //           closed blocks without a seal; at most `UNSEALED_MAX`
  snapshotBytes: number; //         log bytes after which a block asks for a snapshot
  snapshotMs: number; //            time after which it does, if there were transactions
  snapshotBlocksMin: number; //     blocks between two that do, at least
  askSendersMax: number; //         addresses in one request for nonces
  askRetryMs: number; //            pause before a partition that gave no answer is asked again
  fullRetryMs: number; //           pause after the server refused an append for want of room
  declaredMax: number; //           accounts that a prediction may bring a transaction's declared set to
  groupMembersMax: number;
  groupGasMax: number; //           declared gas of one group's members, unless one alone has more
  groupBytesMax: number; //         of its members' records
  endBytesMax: number; //           of what a home makes of its group: alone in a flush it must fit one message of LOG
  groupsMax: number; //             groups without `apply` or `abort`
  retrySendersMax: number; //       senders with retries that are looked at in one go; the others have the next ones
  retriesMax: number; //            missed transactions to be sequenced again; above that nothing new is sequenced
  lock: LockLimits; //              of each group's machine
  predictor: PredictorLimits; //    of what is learned about touched accounts
  moveMs: number; //                how long ranges that move may take to be written out
}

const MIB = 1_048_576;

export const sequencerLimits: Readonly<SequencerLimits> = {
  sendersMax: 524_288,
  recentHashesMax: 262_144,
  gapMax: 2_048,
  gapMs: 2_000,
  askMs: 3_000,
  readyMs: 3_500,
  readyPerSenderMax: 8_192,
  senderRatePerSecond: 50_000,
  senderBurst: 100_000,
  queueRecordsMax: 131_072,
  queueFairMax: 64,
  queueBytesMax: 64 * MIB,
  submitsMax: 16_384,
  recordBytesMax: 256 * 1_024,
  flushTransactionsMax: 16_384,
  flushBytesMax: 6 * MIB,
  flushGasMax: 500_000_000,
  flushMs: 5,
  silentMs: 3_000,
  lagBytesMax: 8 * MIB,
  lagMessagesMax: 4_096,
  unsealedMax: UNSEALED_MAX,
  snapshotBytes: 64 * MIB,
  snapshotMs: 600_000,
  snapshotBlocksMin: 16,
  askSendersMax: 2_048,
  askRetryMs: 100,
  fullRetryMs: 1_000,
  declaredMax: 256,
  groupMembersMax: 512,
  groupGasMax: 100_000_000,
  groupBytesMax: MIB,
  endBytesMax: 7 * MIB,
  groupsMax: 1_024,
  retrySendersMax: 512,
  retriesMax: 16_384,
  lock: lockLimits,
  predictor: predictorLimits,
  moveMs: 30_000,
};
