export { describeDifference } from "./difference.ts";
export type { Difference } from "./difference.ts";
export { RpcSource } from "./rpc.ts";
export type { ChainSource, Genesis, PublishedBlock, PublishedSnapshot } from "./source.ts";
export { verify } from "./verify.ts";
export type { VerifyOptions, VerifyReport } from "./verify.ts";
