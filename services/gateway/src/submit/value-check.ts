/**
 * Whether senders have what their transactions carry. Only a check in front of the log: between it and execution the balance can
 * change, and then the receipt says so. It saves the sender the nonce and the gas of a transaction that cannot succeed now.
 * A nonce that was used already is the scheduler's to answer, whatever the balance: it may be this very transaction's own, sent
 * again after a lost acknowledgement, and its first copy may have spent the balance.
 */
import type { EngineModule } from "@meridian/core";
import {
  ACCOUNT_CELL_BYTES,
  assert,
  CELL,
  hexOf,
  isIoError,
  NONCE_CELL_BYTES,
  PENDING,
  readU64,
  TX,
  txNonce,
  txOffsets,
} from "@meridian/core";
import { cellKey } from "../chain/state.ts";
import type { Read, State } from "../chain/state.ts";
import { bigNumber } from "../format/hex.ts";
import { checksumAddress } from "../format/address.ts";
import { SPENDER, SPENDER_BYTES } from "../ingest/values.ts";
import type { Values } from "../ingest/values.ts";
import { refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";

/**
 * Reads each sender's balance and next nonce once, in one request to each partition.
 * @returns by the record's number: why it is refused
 */
export async function checkValues(
  { records, ...values }: Values & { records: Uint8Array },
  state: State,
  engine: EngineModule,
): Promise<Map<number, RpcError>> {
  if (values.valued.length === 0) return new Map<number, RpcError>();
  const holdings = await readHoldings(values.spenders, state);
  return canPayAll(values.spenders, holdings) ? new Map<number, RpcError>() : refusePoor(records, values, holdings, engine);
}

/** True if every sender has what all of its transactions carry together: the usual case. */
function canPayAll(spenders: Uint8Array, holdings: Holdings): boolean {
  for (let at = 0; at < spenders.length; at += SPENDER_BYTES) {
    const holding = holdings.get(hexOf(spenders, at, at + 20));
    if (holding === undefined || "error" in holding) return false;
    if (holding.value.balance < bigNumber(spenders.subarray(at + SPENDER.sum, at + SPENDER_BYTES))) return false;
  }
  return true;
}

/** Goes through the transactions in their order: those that the balance still covers may go. */
function refusePoor(
  records: Uint8Array,
  { valued, values }: Values,
  holdings: Holdings,
  engine: EngineModule,
): Map<number, RpcError> {
  const refusals = new Map<number, RpcError>();
  const offsets = txOffsets(records);
  const wanted = new Map<string, bigint>();
  valued.forEach((number, index) => {
    const at = offsets[number] ?? 0;
    const sender = records.subarray(at + TX.sender, at + TX.sender + 20);
    const key = hexOf(sender);
    const holding = holdings.get(key);
    assert(holding !== undefined, "a sender's balance was not asked for");
    if ("error" in holding) {
      refusals.set(number, holding.error);
      return;
    }
    const { balance, nextNonce } = holding.value;
    if (txNonce(records, at) < nextNonce) return; // It spends nothing any more.
    // Earlier transactions of the same request spend too.
    const want = (wanted.get(key) ?? 0n) + bigNumber(values.subarray(index * 32, index * 32 + 32));
    if (balance < want) refusals.set(number, insufficientFunds(sender, balance, want, engine));
    else wanted.set(key, want);
  });
  return refusals;
}

/** geth's text; the address with its checksum (EIP-55), amounts in wei. */
export function insufficientFunds(sender: Uint8Array, have: bigint, want: bigint, engine: EngineModule): RpcError {
  return refused(
    `insufficient funds for gas * price + value: address ${checksumAddress(sender, engine)} have ${have} want ${want}`,
  );
}

/** What a sender has at present, and the nonce of its next transaction. */
interface Holding {
  balance: bigint;
  nextNonce: number;
}
/** By the sender in hex. */
type Holdings = Map<string, Read<Holding>>;

async function readHoldings(spenders: Uint8Array, state: State): Promise<Holdings> {
  const senders = new Map<number, Map<string, Uint8Array>>();
  for (let at = 0; at < spenders.length; at += SPENDER_BYTES) {
    const sender = spenders.subarray(at, at + 20);
    const owner = state.ownerOf(sender);
    const group = senders.get(owner) ?? new Map<string, Uint8Array>();
    senders.set(owner, group.set(hexOf(sender), sender));
  }
  const holdings: Holdings = new Map();
  const reads = [...senders].map(async ([partition, group]) => {
    const keys = [...group.keys()];
    const cells = await readCells(state, partition, [...group.values()]);
    keys.forEach((key, index) => {
      holdings.set(key, "error" in cells ? cells : { value: holdingAt(cells.value, index * SENDER_CELLS_BYTES) });
    });
  });
  await Promise.all(reads);
  return holdings;
}

/** An account cell with a nonce cell behind it. */
const SENDER_CELLS_BYTES = ACCOUNT_CELL_BYTES + NONCE_CELL_BYTES;
const KEY_BYTES = 21;

const holdingAt = (cells: Uint8Array, at: number): Holding => ({
  balance: bigNumber(cells.subarray(at + 21, at + 53)),
  nextNonce: readU64(cells, at + ACCOUNT_CELL_BYTES + 21),
});

/** A partition that does not answer refuses its senders' transactions, not those of others in the same request. */
async function readCells(state: State, partition: number, senders: readonly Uint8Array[]): Promise<Read<Uint8Array>> {
  const request = new Uint8Array(senders.length * 2 * KEY_BYTES);
  senders.forEach((sender, index) => {
    request.set(cellKey(CELL.account, sender), index * 2 * KEY_BYTES);
    request.set(cellKey(CELL.nonce, sender), (index * 2 + 1) * KEY_BYTES);
  });
  try {
    return await state.cells(partition, PENDING, request);
  } catch (error) {
    if (!isIoError(error)) throw error;
    return { error: refused(`partition ${partition} does not answer: the transaction was not sent`) };
  }
}
