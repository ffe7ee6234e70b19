/**
 * The replay's world state behind EthereumJS's state manager interface.
 *
 * S1. Checkpoints are an undo list: entering and leaving a call costs what the call wrote, not the size of the state.
 * S2. The first write of a cell in a block keeps its value at the block's start, so that the digest moves by what differs.
 */
import { Account, type Address, bytesToHex, hexToBytes } from "@ethereumjs/util";
import type { AccountFields, StateManagerInterface } from "@ethereumjs/common";
import { assert } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { EMPTY_CODE_HASH, type Lattice, accountElement, nonceElement, slotElement } from "./lattice.ts";

interface AccountRecord {
  nonce: bigint;
  balance: bigint;
  codeHash: Uint8Array;
}

const NOTHING = new Uint8Array(0);

export class ReplayState implements StateManagerInterface {
  readonly originalStorageCache = {
    get: (address: Address, key: Uint8Array) => Promise.resolve(this.#original(address.toString(), bytesToHex(key))),
    clear: () => this.#originals.clear(),
  };
  readonly #accounts = new Map<string, AccountRecord>();
  readonly #codes = new Map<string, Uint8Array>(); // by code hash
  readonly #storage = new Map<string, Map<string, Uint8Array>>();
  readonly #undo: (() => void)[] = [];
  readonly #checkpoints: number[] = [];
  readonly #originals = new Map<string, Uint8Array>();
  readonly #accountsBefore = new Map<string, AccountRecord | undefined>();
  readonly #slotsBefore = new Map<string, Map<string, Uint8Array>>();
  readonly #touched = new Set<string>();

  getAccount(address: Address): Promise<Account | undefined> {
    const record = this.#accounts.get(address.toString());
    return Promise.resolve(record && new Account(record.nonce, record.balance, undefined, record.codeHash));
  }

  putAccount(address: Address, account?: Account): Promise<void> {
    const record = account && { nonce: account.nonce, balance: account.balance, codeHash: account.codeHash };
    this.#setAccount(address.toString(), record);
    return Promise.resolve();
  }

  deleteAccount(address: Address): Promise<void> {
    this.#setAccount(address.toString(), undefined);
    return this.clearStorage(address);
  }

  async modifyAccountFields(address: Address, fields: AccountFields): Promise<void> {
    const account = (await this.getAccount(address)) ?? new Account();
    account.nonce = fields.nonce ?? account.nonce;
    account.balance = fields.balance ?? account.balance;
    account.codeHash = fields.codeHash ?? account.codeHash;
    await this.putAccount(address, account);
  }

  async putCode(address: Address, code: Uint8Array): Promise<void> {
    const codeHash = keccak_256(code);
    this.#codes.set(bytesToHex(codeHash), code);
    await this.modifyAccountFields(address, { codeHash });
  }

  getCode(address: Address): Promise<Uint8Array> {
    const record = this.#accounts.get(address.toString());
    return Promise.resolve((record && this.#codes.get(bytesToHex(record.codeHash))) ?? NOTHING);
  }

  async getCodeSize(address: Address): Promise<number> {
    return (await this.getCode(address)).length;
  }

  getStorage(address: Address, key: Uint8Array): Promise<Uint8Array> {
    const account = address.toString();
    this.#touched.add(account);
    return Promise.resolve(this.#slot(account, bytesToHex(key)));
  }

  putStorage(address: Address, key: Uint8Array, value: Uint8Array): Promise<void> {
    this.#setSlot(address.toString(), bytesToHex(key), value);
    return Promise.resolve();
  }

  clearStorage(address: Address): Promise<void> {
    const account = address.toString();
    for (const slot of [...(this.#storage.get(account)?.keys() ?? [])]) this.#setSlot(account, slot, NOTHING);
    return Promise.resolve();
  }

  checkpoint(): Promise<void> {
    this.#checkpoints.push(this.#undo.length);
    return Promise.resolve();
  }

  commit(): Promise<void> {
    this.#checkpoints.pop();
    if (this.#checkpoints.length === 0) this.#undo.length = 0;
    return Promise.resolve();
  }

  revert(): Promise<void> {
    const start = this.#checkpoints.pop() ?? 0;
    while (this.#undo.length > start) this.#undo.pop()?.();
    return Promise.resolve();
  }

  /** Accounts whose storage was read or written, or whose balance or code changed, since `forgetTouched`. */
  get touched(): ReadonlySet<string> {
    return this.#touched;
  }

  forgetTouched(): void {
    this.#touched.clear();
  }

  /** Balance of an account without noting a touch. */
  balanceOf(address: string): bigint {
    return this.#accounts.get(address)?.balance ?? 0n;
  }

  /** Nonce of an account without noting a touch. */
  nonceOf(address: string): bigint {
    return this.#accounts.get(address)?.nonce ?? 0n;
  }

  /** Sets a sender's nonce: the nonce record of a transaction that changed nothing else. */
  setNonce(address: string, nonce: bigint): void {
    const record = this.#accounts.get(address) ?? { nonce: 0n, balance: 0n, codeHash: EMPTY_CODE_HASH };
    this.#setAccount(address, { ...record, nonce });
    if (this.#checkpoints.length === 0) this.#undo.length = 0;
  }

  /** Moves `lattice` by what has changed since the last call, and starts the next block. */
  foldBlock(lattice: Lattice): void {
    const move = (before: Uint8Array | null, after: Uint8Array | null) => {
      if (before !== null && after !== null && sameElement(before, after)) return;
      if (before !== null) lattice.remove(before);
      if (after !== null) lattice.add(after);
    };
    for (const [address, before] of this.#accountsBefore) {
      const bytes = hexToBytes(address as `0x${string}`);
      const after = this.#accounts.get(address);
      move(
        before ? accountElement(bytes, before.balance, before.codeHash) : null,
        after ? accountElement(bytes, after.balance, after.codeHash) : null,
      );
      move(nonceElement(bytes, before?.nonce ?? 0n), nonceElement(bytes, after?.nonce ?? 0n));
    }
    for (const [address, slots] of this.#slotsBefore) {
      const bytes = hexToBytes(address as `0x${string}`);
      for (const [slot, before] of slots) {
        const slotBytes = hexToBytes(slot as `0x${string}`);
        move(slotElement(bytes, slotBytes, before), slotElement(bytes, slotBytes, this.#slot(address, slot)));
      }
    }
    this.#accountsBefore.clear();
    this.#slotsBefore.clear();
  }

  #setAccount(address: string, record: AccountRecord | undefined): void {
    const before = this.#accounts.get(address);
    if (!this.#accountsBefore.has(address)) this.#accountsBefore.set(address, before);
    // A nonce alone is no touch: it is kept by the sender's partition beside whatever runs.
    if (!sameFunds(before, record)) this.#touched.add(address);
    this.#undo.push(() => (before === undefined ? this.#accounts.delete(address) : this.#accounts.set(address, before)));
    if (record === undefined) this.#accounts.delete(address);
    else this.#accounts.set(address, record);
  }

  #slot(address: string, slot: string): Uint8Array {
    return this.#storage.get(address)?.get(slot) ?? NOTHING;
  }

  #setSlot(address: string, slot: string, value: Uint8Array): void {
    const before = this.#slot(address, slot);
    this.#touched.add(address);
    this.#noteOriginal(address, slot, before);
    let slotsBefore = this.#slotsBefore.get(address);
    if (slotsBefore === undefined) this.#slotsBefore.set(address, (slotsBefore = new Map<string, Uint8Array>()));
    if (!slotsBefore.has(slot)) slotsBefore.set(slot, before);
    this.#undo.push(() => this.#writeSlot(address, slot, before));
    this.#writeSlot(address, slot, stripZeros(value));
  }

  #writeSlot(address: string, slot: string, value: Uint8Array): void {
    let slots = this.#storage.get(address);
    if (slots === undefined) this.#storage.set(address, (slots = new Map<string, Uint8Array>()));
    if (value.length === 0) slots.delete(slot);
    else slots.set(slot, value);
  }

  /** The value at the start of the running transaction, which SSTORE's gas depends on. */
  #original(address: string, slot: string): Uint8Array {
    return this.#originals.get(address + slot) ?? this.#slot(address, slot);
  }

  #noteOriginal(address: string, slot: string, value: Uint8Array): void {
    if (!this.#originals.has(address + slot)) this.#originals.set(address + slot, value);
  }

  clearCaches(): void {
    this.#originals.clear();
  }

  /** Only a copied VM would ask for this, and the replay has one VM. */
  shallowCopy(): StateManagerInterface {
    assert(false, "the replay's state is not copied");
  }

  /** The chain's commitment is the lattice, not a trie: nobody asks for this root. */
  getStateRoot(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(32));
  }

  setStateRoot(): Promise<void> {
    return Promise.resolve();
  }

  hasStateRoot(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

function stripZeros(value: Uint8Array): Uint8Array {
  let start = 0;
  while (start < value.length && value[start] === 0) start++;
  return start === 0 ? value : value.slice(start);
}

/** Balance and code are the same; an account that is not there has none of either. */
function sameFunds(left: AccountRecord | undefined, right: AccountRecord | undefined): boolean {
  const [leftHash, rightHash] = [left?.codeHash ?? EMPTY_CODE_HASH, right?.codeHash ?? EMPTY_CODE_HASH];
  return (left?.balance ?? 0n) === (right?.balance ?? 0n) && (leftHash === rightHash || sameElement(leftHash, rightHash));
}

function sameElement(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
