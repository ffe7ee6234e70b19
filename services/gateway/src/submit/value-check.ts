/**
 * Whether senders have what their transactions carry. Only a check in front of the log: between it and execution the balance can
 * change, and then the receipt says so. It saves the sender the nonce and the gas of a transaction that cannot succeed now.
 */
import type { EngineModule } from "@meridian/core";
import { ACCOUNT_CELL_BYTES, assert, CELL, hexOf, isIoError, PENDING, TX, txOffsets } from "@meridian/core";
import type { Read, State } from "../chain/state.ts";
import { bigNumber } from "../format/hex.ts";
import { checksumAddress } from "../format/address.ts";
import type { Ingested } from "../ingest/ingest.ts";
import { refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";

/**
 * Reads each sender's balance once, in one request to each partition.
 * @returns by the record's number: why it is refused
 */
export async function checkValues(ingested: Ingested, state: State, engine: EngineModule): Promise<Map<number, RpcError>> {
  const { records, valued, values } = ingested;
  const refusals = new Map<number, RpcError>();
  if (valued.length === 0) return refusals;
  const offsets = txOffsets(records);
  const senderOf = (number: number): Uint8Array => {
    const at = (offsets[number] ?? 0) + TX.sender;
    return records.subarray(at, at + 20);
  };
  const balances = await readBalances(valued, senderOf, state);
  const wanted = new Map<string, bigint>();
  valued.forEach((number, index) => {
    const sender = senderOf(number);
    const key = hexOf(sender);
    const balance = balances.get(key);
    assert(balance !== undefined, "a sender's balance was not asked for");
    if ("error" in balance) {
      refusals.set(number, balance.error);
      return;
    }
    // Earlier transactions of the same request spend too.
    const want = (wanted.get(key) ?? 0n) + bigNumber(values.subarray(index * 32, index * 32 + 32));
    if (balance.value < want) refusals.set(number, insufficientFunds(sender, balance.value, want, engine));
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

type Balances = Map<string, Read<bigint>>;

async function readBalances(valued: Uint32Array, senderOf: (number: number) => Uint8Array, state: State): Promise<Balances> {
  const senders = new Map<number, Map<string, Uint8Array>>();
  for (const number of valued) {
    const sender = senderOf(number);
    const owner = state.ownerOf(sender);
    const group = senders.get(owner) ?? new Map<string, Uint8Array>();
    senders.set(owner, group.set(hexOf(sender), sender));
  }
  const balances: Balances = new Map();
  const reads = [...senders].map(async ([partition, group]) => {
    const keys = [...group.keys()];
    const cells = await readCells(state, partition, [...group.values()]);
    keys.forEach((key, index) => {
      const at = index * ACCOUNT_CELL_BYTES;
      balances.set(key, "error" in cells ? cells : { value: bigNumber(cells.value.subarray(at + 21, at + 53)) });
    });
  });
  await Promise.all(reads);
  return balances;
}

/** A partition that does not answer refuses its senders' transactions, not those of others in the same request. */
async function readCells(state: State, partition: number, senders: readonly Uint8Array[]): Promise<Read<Uint8Array>> {
  const request = new Uint8Array(senders.length * 21);
  senders.forEach((sender, index) => {
    request[index * 21] = CELL.account;
    request.set(sender, index * 21 + 1);
  });
  try {
    return await state.cells(partition, PENDING, request);
  } catch (error) {
    if (!isIoError(error)) throw error;
    return { error: refused(`partition ${partition} does not answer: the transaction was not sent`) };
  }
}
