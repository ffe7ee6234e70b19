export { MemoryBus } from "./memory-bus.ts";
export { MemoryFaults, MemoryServer, memoryBus, memoryServer } from "./memory-server.ts";
export type { MemoryConnectOptions, MemoryServerOptions, StoreFault, StreamName } from "./memory-server.ts";
export type { WireFate } from "./memory-wire.ts";
