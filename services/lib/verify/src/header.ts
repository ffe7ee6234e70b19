/** A published header, field by field. */
import { createBlockHeaderFromRLP } from "@ethereumjs/block";
import type { Common } from "@ethereumjs/common";
import { keccak_256 } from "@noble/hashes/sha3.js";

export interface Header {
  hash: Uint8Array;
  parentHash: Uint8Array;
  digest: Uint8Array; // stands where Ethereum has the state root
  transactionsRoot: Uint8Array;
  receiptsRoot: Uint8Array;
  bloom: Uint8Array;
  number: number;
  gasLimit: bigint;
  gasUsed: bigint;
  timestamp: number;
  prevrandao: Uint8Array;
  baseFee: bigint;
}

/** The header, or why EthereumJS does not take these bytes for one of Osaka. The hash is keccak-256 of the bytes as published. */
export function readHeader(rlp: Uint8Array, common: Common): Header | { malformed: string } {
  try {
    const header = createBlockHeaderFromRLP(rlp, { common, skipConsensusFormatValidation: true });
    return {
      hash: keccak_256(rlp),
      parentHash: header.parentHash,
      digest: header.stateRoot,
      transactionsRoot: header.transactionsTrie,
      receiptsRoot: header.receiptTrie,
      bloom: header.logsBloom,
      number: Number(header.number),
      gasLimit: header.gasLimit,
      gasUsed: header.gasUsed,
      timestamp: Number(header.timestamp),
      prevrandao: header.mixHash,
      baseFee: header.baseFeePerGas ?? -1n,
    };
  } catch (error) {
    return { malformed: error instanceof Error ? error.message : String(error) };
  }
}
