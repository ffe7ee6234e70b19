export { FakeEngine } from "./fake-engine.ts";
export {
  fakeAccountCell,
  fakeCodeCell,
  fakeKey,
  fakeNonceCell,
  fakeSlotCell,
  fakeSlotKey,
  balanceOf,
  nonceOf,
  slotOf,
} from "./fake-cells.ts";
export {
  TEST_CHAIN_ID,
  abortEntry,
  accountList,
  addressOf,
  applyEntry,
  blockEntry,
  genesisEntry,
  groupEntry,
  lockEntry,
  logMessage,
  nonceRecordOf,
  opensBlock,
  runEntry,
  runOf,
  sealEntry,
  sealHash,
  toyRecord,
  toyTransaction,
} from "./messages.ts";
export type { ToyTransaction } from "./messages.ts";
export { TOY, isToyProgram, mix, toy, toyProgram, toySteps } from "./toy-program.ts";
export type { ToyOp, ToyStep } from "./toy-program.ts";
