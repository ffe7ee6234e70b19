/** Why transactions are refused, in geth's words where it has the case; tools compare these texts. */
import { DECODE, SUBMIT, TX, assert, txGasLimit, txNonce } from "@meridian/core";
import { CODE, limitExceeded, refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";
import { hexData, hexNumber } from "../format/hex.ts";

const EIP2681_NONCE = "nonce has max value";

/** @param raw the transaction as it came, for what only its bytes tell */
export function decodeRefusal(status: number, got: number, limit: number, raw: Uint8Array): RpcError {
  switch (status) {
    case DECODE.malformed:
      return refused(malformedText(raw));
    case DECODE.typeNotSupported:
      return refused(typeText(got));
    case DECODE.chainId:
      return refused(`invalid chain id for signer: have ${got} want ${limit}`);
    case DECODE.unprotected:
      return refused("only replay-protected (EIP-155) transactions allowed over RPC");
    case DECODE.signature:
      return refused("invalid sender: invalid transaction v, r, s values");
    case DECODE.nonceMax:
      return refused(EIP2681_NONCE);
    case DECODE.gasLimitCap:
      return refused(`transaction gas limit too high (cap: ${limit}, tx: ${got})`);
    case DECODE.intrinsicGas:
      return refused(`intrinsic gas too low: gas ${got}, minimum needed ${limit}`);
    case DECODE.floorGas:
      return refused(`insufficient gas for floor data gas cost: gas ${got}, minimum needed ${limit}`);
    case DECODE.initCodeSize:
      return refused(`max initcode size exceeded: code size ${got}, limit ${limit}`);
    case DECODE.tipAboveFeeCap:
      return refused("max priority fee per gas higher than max fee per gas");
    case DECODE.tooLarge:
      return refused(`oversized data: transaction size ${got}, limit ${limit}`);
    case DECODE.callCount:
      return refused(got === 0 ? "signed batch without calls" : `signed batch of too many calls: ${got}, limit ${limit}`);
  }
  assert(false, `decode status ${status} has no text`);
}

/** A signed batch is refused as a whole; the text says for which call. */
export const refusedFor = (call: number, error: RpcError): RpcError => ({ ...error, message: `call ${call}: ${error.message}` });

function typeText(type: number): string {
  const text = `transaction type not supported: tx type ${type} not supported by this chain`;
  if (type === 3) return `${text} (EIP-4844 blob transactions)`;
  return type === 4 ? `${text} (EIP-7702 set code transactions)` : text;
}

/** The engine says only that a transaction is malformed; the commonest ways to send nonsense are told apart here. */
function malformedText(raw: Uint8Array): string {
  const first = raw[0];
  if (first === undefined) return "typed transaction too short: no bytes";
  if (first >= 0xc0) return listText(raw);
  if (first > 0x7f) return "rlp: expected List for a signed transaction";
  return raw.length < 2 ? "typed transaction too short" : listText(raw.subarray(1));
}

function listText(list: Uint8Array): string {
  const first = list[0] ?? 0;
  if (first < 0xc0) return "rlp: expected List for a signed transaction";
  const lengthBytes = Math.max(first - 0xf7, 0);
  let length = lengthBytes === 0 ? first - 0xc0 : 0;
  for (let index = 1; index <= lengthBytes; index++) length = length * 256 + (list[index] ?? 0);
  const end = 1 + lengthBytes + length;
  if (end > list.length) return "rlp: value size exceeds available input length";
  if (end < list.length) return "rlp: input contains more than one value";
  return "rlp: fields do not fit a signed transaction of this type";
}

/**
 * The error for a transaction that the scheduler refused; null if it was accepted.
 * @param record  packed records and where this one starts
 */
export function submitRefusal(code: number, detail: number, records: Uint8Array, at: number): RpcError | null {
  const nonce = txNonce(records, at);
  const hash = () => hexData(records, at + TX.hash, at + TX.hash + 32);
  switch (code) {
    case SUBMIT.accepted:
    case SUBMIT.known:
      return null;
    case SUBMIT.nonceTooLow:
      return refused(`nonce too low: next nonce ${detail}, tx nonce ${nonce}`);
    case SUBMIT.nonceTooHigh:
      return refused(`nonce too high: tx nonce ${nonce}, gapped nonce ${detail}`);
    case SUBMIT.alreadyKnown:
      return refused("already known");
    case SUBMIT.replacement:
      return refused("replacement transaction underpriced");
    case SUBMIT.senderLimit:
      return limitExceeded(`account limit exceeded: at most ${detail} transactions of one sender may wait`);
    case SUBMIT.busy:
      return limitExceeded("too many transactions are waiting: send again later");
    case SUBMIT.partitionFull:
      return refused(`partition ${detail} is at its memory limit and takes no more transactions`);
    case SUBMIT.partitionSilent:
      return refused(`partition ${detail} does not answer: the transaction was not sent`);
    case SUBMIT.logFull:
      return limitExceeded("storage is full: the transaction was not sent; send it again when there is room");
    case SUBMIT.gasLimit:
      return refused(`exceeds block gas limit: gas ${txGasLimit(records, at)}, limit ${detail}`);
    case VERDICT.notSent:
      return refused("no scheduler leads: the transaction was not sent");
    case VERDICT.unknown:
      return {
        ...refused(
          "the scheduler did not answer in time: the transaction may be included or not; ask for its hash or send it again",
        ),
        data: hash(),
      };
  }
  assert(false, `submit code ${code} has no text`);
}

/** What can become of a submitted transaction besides the scheduler's SUBMIT codes. */
export const VERDICT = {
  notSent: 254, // no leader known before the deadline
  unknown: 255, // sent, and no answer before the deadline
} as const;

/** EIP-7966: a synchronous send whose nonce is ahead says which nonce comes next. */
export const syncNonceGap = (error: RpcError, nextNonce: number): RpcError => ({
  code: CODE.syncNonceGap,
  message: error.message,
  data: hexNumber(nextNonce),
});
