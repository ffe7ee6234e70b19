export { assert, BugError } from "./assert.ts";
export { bytesOfHex, concatBytes, hexOf, readU16, readU32, readU64, sameBytes, writeU16, writeU32, writeU64 } from "./bytes.ts";
export { ACCOUNT_CELL_BYTES, CELL, CODE_CELL_HEADER_BYTES, NONCE_CELL_BYTES, SLOT_CELL_BYTES } from "./cells.ts";
export { DECODE, DECODE_NO_CALL, NONCE_STATE_BYTES, PENDING } from "./engine.ts";
export type {
  BlockContext,
  BlockHeaderInput,
  BuiltBlock,
  CallAccess,
  CallRequest,
  CallResult,
  Decoded,
  DecodeLimits,
  Engine,
  EngineModule,
  EngineOptions,
  ExportChunk,
  OwnedRanges,
  Proposal,
  ProposalRules,
  RunResult,
  RunRules,
} from "./engine.ts";
export { FORMAT_VERSION, RULES_VERSION } from "./entries.ts";
export type {
  AbortEntry,
  ApplyEntry,
  BlockEntry,
  Entry,
  GenesisEntry,
  GroupEntry,
  HandOver,
  LockEntry,
  LogMessage,
  LogPosition,
  MapEntry,
  MovedRange,
  OpenedBlock,
  OutRecord,
  PartitionBlock,
  Position,
  RunEntry,
  SealEntry,
  SettledRun,
  TermEntry,
} from "./entries.ts";
export { IoError, isIoError } from "./errors.ts";
export { GAP_HEADER, SUBMIT } from "./messages.ts";
export type {
  AdminReply,
  AdminRequest,
  ArchiveBlock,
  ArchiveFailure,
  ArchiveLog,
  ArchiveQuery,
  ArchiveReply,
  ArchiveTransaction,
  Beat,
  Built,
  GroupProposal,
  LogFilter,
  MissedTransaction,
  Misses,
  ReadFailure,
  ReadReply,
  ReadRequest,
  Report,
  SnapshotManifest,
  SubmitCode,
  SubmitReply,
} from "./messages.ts";
export type {
  AppendOutcome,
  Bus,
  ChainSettings,
  Clock,
  Durability,
  Headers,
  Log,
  LogBatch,
  LogWriter,
  Objects,
  Out,
  OutBatch,
  Settings,
  StoredRecord,
  Wire,
  WireMessage,
} from "./ports.ts";
export { evenRangeMap, indexRanges, ownedBy } from "./ranges.ts";
export type { PartitionId, RangeIndex, RangeMap } from "./ranges.ts";
export {
  EXCEEDED_GAS,
  EXCEEDED_GAS_LIMIT_MIN,
  REASON,
  RESULT,
  resultBytes,
  resultCreated,
  resultGasUsed,
  resultIndex,
  resultLogCount,
  resultLogs,
  resultOutput,
  resultReason,
  resultStatus,
} from "./results.ts";
export type { LogView } from "./results.ts";
export {
  OUTCOME,
  OUTCOME_BYTES,
  OUTCOME_KEY,
  OUTCOME_KEY_BYTES,
  callNumber,
  outcomesAsked,
  outcomesBy,
  packOutcomeKeys,
  setCallNumber,
  setOutcome,
} from "./outcomes.ts";
export {
  DECLARED_BYTES,
  ATTEMPTS_MAX,
  MODE,
  NONCE,
  NONCE_BYTES,
  TX,
  TX_CREATES,
  TX_HAS_VALUE,
  TX_HEADER_BYTES,
  TX_TYPE_CALL,
  setTxIndex,
  txAfterFlush,
  txAfterIndex,
  txAttempt,
  txBytes,
  txCount,
  txCreates,
  txDeclared,
  txGasLimit,
  txHasValue,
  txIndex,
  txNonce,
  txOffsets,
  txRaw,
  txType,
} from "./transactions.ts";
export { noTelemetry } from "./telemetry.ts";
export type { Attributes, Logger, Span, SpanOptions, Telemetry } from "./telemetry.ts";
export { defineSettings, readSettings, serviceSettings, settingsHelp, streamLimitsOf } from "./settings.ts";
export type { SettingDefinition, SettingDefinitions, SettingFailure, SettingValues } from "./settings.ts";
export { applyMessage } from "./actor/apply.ts";
export type { Applied } from "./actor/apply.ts";
export { arrivedAfter, oldestOf } from "./actor/arrivals.ts";
export { answers, cellBytes, cellsOwnedBy, cutBySlice, keyBytes, keyCount, requestByOwner } from "./actor/cells.ts";
export type { CellSlice } from "./actor/cells.ts";
export { ESTIMATE_GAS_MAX, ESTIMATE_GAS_MIN, startEstimate, stepEstimate } from "./actor/estimate.ts";
export type { Estimate } from "./actor/estimate.ts";
export { chunksFor, movesOut } from "./actor/map-entry.ts";
export type { ChunkCells } from "./actor/map-entry.ts";
export {
  commitEarly,
  groupState,
  heldHomeGroups,
  loosened,
  missedPositions,
  openGroup,
  openGroups,
  proposalOf,
  settledN,
} from "./actor/queue.ts";
export type { GroupState, OpenEntry, OpenGroup, OpenLocal } from "./actor/queue.ts";
export { refusalOf } from "./actor/refusal.ts";
export type { LogRefusal } from "./actor/refusal.ts";
export {
  SNAPSHOTS_KEPT,
  chunkObject,
  chunkPrefix,
  isExportable,
  isNewer,
  keptWith,
  restartOrder,
  strayChunks,
  truncatableN,
} from "./actor/snapshots.ts";
export { SEALS_MAX, VERSION_BLOCKS_MAX, emptyState, manifestOf, mapOf, sealedBlock, stateOfManifest } from "./actor/state.ts";
export type { Arrival, PartitionState, Seal } from "./actor/state.ts";
export {
  HISTORY_ADDRESS,
  HISTORY_CODE,
  UNSEALED_MAX,
  cellsBehind,
  cellsOfClose,
  historyCell,
  historyKey,
  withHistoryAccount,
  writtenBlock,
} from "./history/history-account.ts";
export { awaitedPartitions, nextBlock, openAssembly, tailCounts, takeRecords } from "./blocks/assemble.ts";
export type {
  Alarm,
  AssembledBlock,
  Assembly,
  AssemblyOptions,
  AssemblyProgress,
  AssemblyStart,
  BlockEngine,
  ChainHead,
  RecordMarks,
  Taken,
} from "./blocks/assemble.ts";
export { LOG_COLUMNS, bloomMayMatch, logCandidates, logColumns, logMatches, logOffset, prepareFilter } from "./blocks/logs.ts";
export type { LogColumns, PreparedFilter } from "./blocks/logs.ts";
export { merge } from "./blocks/merge.ts";
export type { Merged, MergeSource, PositionTwice } from "./blocks/merge.ts";
export { findInTail } from "./blocks/tail.ts";
export type { TailTransaction } from "./blocks/tail.ts";
export { MARK_BYTES } from "./blocks/record.ts";
export type { Sha256 } from "./blocks/record.ts";
export { failNonces, takeNonces } from "./sequencer/asks.ts";
export type { SealedBlock } from "./sequencer/chain-blocks.ts";
export { flushAppended, flushFull, nextFlushAt, planFlush, submitsInFlight } from "./sequencer/flush.ts";
export type { FlushPlan } from "./sequencer/flush.ts";
export {
  beatOf,
  nextDeadline,
  stepDown,
  takeBuilt,
  takeEffects,
  takeGroupProposal,
  takeReport,
  tickSequencer,
} from "./sequencer/lead.ts";
export { learnChain, reachesBlock, reachesSeal } from "./sequencer/learn.ts";
export type { Learned, LogEnd } from "./sequencer/learn.ts";
export { sequencerLimits } from "./sequencer/limits.ts";
export type { SequencerLimits } from "./sequencer/limits.ts";
export { deadlineOf, lockLimits, lockMachine, openGroupMachine, stateOf, stepGroup } from "./sequencer/lock-machine.ts";
export type { GroupMachine, LockEffect, LockEvent, LockGroup, LockLimits, LockState } from "./sequencer/lock-machine.ts";
export { changeMap } from "./sequencer/map-change.ts";
export { takeMisses } from "./sequencer/misses.ts";
export { mapAfter, startMove, takeAdmin } from "./sequencer/moves.ts";
export type { MapChange } from "./sequencer/map-change.ts";
export { lagBytes } from "./sequencer/partition-table.ts";
export { learn, openPredictor, predict, predictorLimits, withPrediction } from "./sequencer/predict.ts";
export type { Predictor, PredictorLimits } from "./sequencer/predict.ts";
export { openRecentHashes } from "./sequencer/recent-hashes.ts";
export { openSequencer } from "./sequencer/state.ts";
export type { GroupCounts, Sequencer, SequencerEffect, SequencerStart } from "./sequencer/state.ts";
export { submitRecords } from "./sequencer/submit.ts";
export { ALL_RULES } from "./rules.ts";
export type { Rules } from "./rules.ts";
export { TOUCH, WHY, touchAccounts, touchBytes, touchCount, touchIndex, touchValue, touchWhy } from "./touches.ts";
export { compareAddresses, unionModes } from "./modes/union-modes.ts";
export { callOfRecord } from "./raw/call-of-record.ts";
