/** Transactions root, receipts root and bloom of a block by EthereumJS's trie, from what the replay did. */
import { createMPT } from "@ethereumjs/mpt";
import { RLP } from "@ethereumjs/rlp";
import { Bloom } from "@ethereumjs/vm";
import { type LogView, TX_TYPE_CALL, concatBytes } from "@meridian/core";

/** What a receipt commits to. */
export interface ReceiptFacts {
  type: number; // transaction type
  status: number;
  gasUsed: bigint;
  logs: LogView[];
}

export async function transactionsRoot(raws: readonly Uint8Array[]): Promise<Uint8Array> {
  return orderedRoot(raws);
}

export async function receiptsRoot(
  receipts: readonly ReceiptFacts[],
): Promise<{ root: Uint8Array; bloom: Uint8Array; gasUsed: bigint }> {
  const whole = new Bloom();
  let gasUsed = 0n;
  const encoded = receipts.map(({ type, status, gasUsed: own, logs }) => {
    gasUsed += own;
    const bloom = bloomOf(logs);
    whole.or(bloom);
    // The receipt of a call has no bloom of its own.
    const blooms = type === TX_TYPE_CALL ? [] : [bloom.bitvector];
    const rlp = RLP.encode([status, gasUsed, ...blooms, logs.map(({ address, topics, data }) => [address, topics, data])]);
    return type === 0 ? rlp : concatBytes([Uint8Array.of(type), rlp]);
  });
  return { root: await orderedRoot(encoded), bloom: whole.bitvector, gasUsed };
}

function bloomOf(logs: readonly LogView[]): Bloom {
  const bloom = new Bloom();
  for (const { address, topics } of logs) {
    bloom.add(address);
    for (const topic of topics) bloom.add(topic);
  }
  return bloom;
}

async function orderedRoot(values: readonly Uint8Array[]): Promise<Uint8Array> {
  const trie = await createMPT();
  for (const [index, value] of values.entries()) await trie.put(RLP.encode(index), value);
  return trie.root();
}
