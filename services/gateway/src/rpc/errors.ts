/** JSON-RPC errors as values: geth's codes and wording where geth has the case, because clients compare both. */

export interface RpcError {
  code: number;
  message: string;
  /** Hex: a revert's output, or the hash of a transaction that a timeout is about. */
  data?: string;
}

/** What a method gives back: a value for JSON.stringify, or why not; `oldest` as in a read (chain/state.ts), not for clients. */
export type Answer = { result: unknown } | { error: RpcError; oldest?: number };

export const CODE = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  refused: -32000, // geth's default: transaction refusals, unknown headers, a state that is not there
  responseTooLarge: -32003,
  limit: -32005, // EIP-1474 "limit exceeded"
  revert: 3,
  syncTimeout: 4, // EIP-7966
  syncNonceGap: 6, // EIP-7966
  prunedHistory: 4444, // EIP-4444
} as const;

const METHOD_NAME_MAX = 256; // of a name that is repeated in an answer

export const refused = (message: string): RpcError => ({ code: CODE.refused, message });
export const invalidParams = (message: string): RpcError => ({ code: CODE.invalidParams, message });
export const invalidRequest = (message = "invalid request"): RpcError => ({ code: CODE.invalidRequest, message });
export const limitExceeded = (message: string): RpcError => ({ code: CODE.limit, message });
export const parseError = (message: string): RpcError => ({ code: CODE.parse, message });
export const responseTooLarge: RpcError = { code: CODE.responseTooLarge, message: "response too large" };
export const batchTooLarge = invalidRequest("batch too large");
export const internalError: RpcError = {
  code: CODE.internal,
  message: "internal error: the call met a bug in the gateway, which logged it",
};

export function methodNotFound(name: string): RpcError {
  if (name.endsWith("_subscribe")) return { code: CODE.methodNotFound, message: "notifications not supported" };
  return { code: CODE.methodNotFound, message: `the method ${name.slice(0, METHOD_NAME_MAX)} does not exist/is not available` };
}
