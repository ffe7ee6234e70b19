export { FakeEngine, fakeSlotCell, fakeSlotKey } from "./fake-engine.ts";
export {
  TEST_CHAIN_ID,
  addressOf,
  blockEntry,
  genesisEntry,
  logMessage,
  opensBlock,
  runEntry,
  sealEntry,
  sealHash,
} from "./messages.ts";
