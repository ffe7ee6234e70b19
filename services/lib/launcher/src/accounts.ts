/** Accounts of the test mnemonic that every Ethereum developer tool knows. Never use them where anything is at stake. */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesOfHex, hexOf } from "@meridian/core";
import secp256k1 from "secp256k1";
import { mnemonicToAccount } from "viem/accounts";

export const TEST_MNEMONIC = "test test test test test test test test test test test junk";
export const PREFUNDED_COUNT = 20;
const PATH = "m/44'/60'/0'/0";

export interface TestAccount {
  address: `0x${string}`; // lower case
  addressBytes: Uint8Array;
  privateKey: Uint8Array; // 32 bytes
}

/** Accounts m/44'/60'/0'/0/`first` and on. About 1 ms each. */
export function testAccounts(count: number, first = 0): TestAccount[] {
  const parent = mnemonicToAccount(TEST_MNEMONIC, { path: PATH }).getHdKey();
  return Array.from({ length: count }, (_, index) =>
    accountOf(parent.deriveChild(first + index).privateKey ?? new Uint8Array(32)),
  );
}

/** The accounts that own ETH at genesis. */
export const prefundedAccounts = (): TestAccount[] => testAccounts(PREFUNDED_COUNT);

/** `count` accounts whose keys are numbers: as good as any for load, and derived at once. */
export function loadAccounts(count: number, seed: string): TestAccount[] {
  const text = new TextEncoder();
  return Array.from({ length: count }, (_, index) => accountOf(keccak_256(text.encode(`${seed}/${index}`))));
}

function accountOf(privateKey: Uint8Array): TestAccount {
  const addressBytes = keccak_256(secp256k1.publicKeyCreate(privateKey, false).subarray(1)).slice(12);
  return { address: `0x${hexOf(addressBytes)}`, addressBytes, privateKey };
}

/** 0x hex of a private key, as wallets take it. */
export const privateKeyHex = ({ privateKey }: TestAccount): `0x${string}` => `0x${hexOf(privateKey)}`;

/** Bytes of a 0x address. */
export const addressBytesOf = (address: string): Uint8Array => bytesOfHex(address);
