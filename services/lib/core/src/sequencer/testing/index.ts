export { applyToLedger, noncesInLedger, openLedger, proposalsOf, reportOf } from "./ledger.ts";
export type { Ledger } from "./ledger.ts";
export { accountOf, declaredSet, transferHash, transferRecord, transferRecords } from "./records.ts";
export type { TestTransfer } from "./records.ts";
export {
  answerAsks,
  built,
  codesOf,
  endFlush,
  flush,
  lead,
  leadFresh,
  logOf,
  moveAll,
  onlyAsk,
  pass,
  settleEffects,
  startFlush,
  submit,
  testChain,
} from "./test-leader.ts";
export type { TestChain, TestLeader } from "./test-leader.ts";
