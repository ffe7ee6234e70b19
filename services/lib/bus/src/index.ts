export { connectBus } from "./nats/connect-bus.ts";
export type { ConnectOptions } from "./nats/connect-bus.ts";
export { hashHeader } from "./chain.ts";
export { decodeLogMessage, encodeLogMessage, hashOf } from "./codec/log-message.ts";
export type { LinkedMessage } from "./codec/log-message.ts";
export { decodeOutMessage, decodeOutRecords, encodeOutRecord } from "./codec/out-message.ts";
export type { OutMessage } from "./codec/out-message.ts";
export {
  WIRE_FORMAT,
  decodeAdminReply,
  decodeAdminRequest,
  decodeArchiveQuery,
  decodeArchiveReply,
  decodeBeat,
  decodeBuilt,
  decodeGroupProposal,
  decodeMisses,
  decodeReadReply,
  decodeReadRequest,
  decodeReport,
  decodeSubmitReply,
  encodeAdminReply,
  encodeAdminRequest,
  encodeArchiveQuery,
  encodeArchiveReply,
  encodeBeat,
  encodeBuilt,
  encodeGroupProposal,
  encodeMisses,
  encodeReadReply,
  encodeReadRequest,
  encodeReport,
  encodeSubmitReply,
} from "./codec/messages.ts";
export { pack, unpack } from "./codec/pack.ts";
export { PAYLOAD_BYTES_MAX } from "./limits.ts";
export { MemoryBus, MemoryFaults, MemoryServer, memoryBus, memoryServer } from "./memory/index.ts";
export type { MemoryConnectOptions, MemoryServerOptions, StoreFault, StreamName, WireFate } from "./memory/index.ts";
export { ARCHIVE_QUEUE, SUBJECT, partitionOf } from "./names.ts";
