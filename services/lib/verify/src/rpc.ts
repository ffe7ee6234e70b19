/** The published chain over JSON-RPC: Meridian's own methods beside Ethereum's (README of the gateway). */
import { setTimeout as delay } from "node:timers/promises";
import { IoError, type RangeMap, type SnapshotManifest, TX_HEADER_BYTES, bytesOfHex, concatBytes, txBytes } from "@meridian/core";
import type { ChainSource, Genesis, PublishedBlock, PublishedSnapshot } from "./source.ts";

const TIMEOUT_MS = 60_000;
const TRIES_MAX = 5;
const RETRY_MS = 500;

/** What verify needs of a manifest; the others stand in it too. */
type Manifest = Pick<SnapshotManifest, "partition" | "block" | "chunks">;

/** Number of packed transactions; lengths that lead nowhere are refused before anybody walks over them. */
function countOf(transactions: Uint8Array, block: number): number {
  let count = 0;
  for (let at = 0; at < transactions.length; count++) {
    const left = transactions.length - at;
    const bytes = left < TX_HEADER_BYTES ? 0 : txBytes(transactions, at);
    if (bytes < TX_HEADER_BYTES || bytes > left) {
      throw new IoError({ code: "BLOCK_MALFORMED", text: `transaction record ${count} of block ${block}` }, "never");
    }
    at += bytes;
  }
  return count;
}

/** A block with a part of its body, as hex. */
type Part = Record<keyof PublishedBlock | "transactionCount", string>;

type Answer = { result: unknown; error?: undefined } | { error: { code: number; message: string } };

/** Every method throws IoError RPC_ERROR if it is refused, RPC_TRANSPORT if the node does not answer after several tries. */
export class RpcSource implements ChainSource {
  readonly #url: string;
  #lastId = 0;

  constructor(url: string) {
    this.#url = url;
  }

  async genesis(): Promise<Genesis> {
    const { chainId, cells, genesisHash } = await this.#call<{ chainId: number; cells: string; genesisHash: string }>(
      "meridian_genesis",
    );
    return { chainId, cells: bytesOfHex(cells), genesisHash: bytesOfHex(genesisHash) };
  }

  rangeMap(): Promise<RangeMap> {
    return this.#call<RangeMap>("meridian_rangeMap");
  }

  async latest(): Promise<number> {
    return Number(await this.#call<string>("eth_blockNumber"));
  }

  /** In parts: a large block does not fit into one response. */
  async block(number: number): Promise<PublishedBlock | undefined> {
    const parts: Part[] = [];
    for (let from = 0; ;) {
      const part = await this.#call<Part | null>("meridian_block", `0x${number.toString(16)}`, from);
      if (part === null) return undefined;
      parts.push(part);
      const transactions = bytesOfHex(part.transactions);
      from += countOf(transactions, number);
      if (from >= Number(part.transactionCount)) break;
      if (transactions.length === 0) {
        throw new IoError(
          { code: "BLOCK_MISSING", text: `transactions of block ${number} from ${from} on are not there` },
          "later",
        );
      }
    }
    const joined = (field: "transactions" | "results"): Uint8Array => concatBytes(parts.map((part) => bytesOfHex(part[field])));
    return { header: bytesOfHex(parts[0]?.header ?? ""), transactions: joined("transactions"), results: joined("results") };
  }

  async snapshot(atMost: number): Promise<PublishedSnapshot[] | undefined> {
    const { partitions } = await this.rangeMap();
    const kept = await Promise.all(partitions.map(({ id }) => this.#call<Manifest[]>("meridian_snapshot", id)));
    const blocks = (kept[0] ?? []).map(({ block }) => block).filter((block) => block <= atMost);
    for (const block of blocks.toSorted((left, right) => right - left)) {
      const parts = kept.flatMap((manifests) => manifests.find((manifest) => manifest.block === block) ?? []);
      if (parts.length === partitions.length) return parts.map((manifest) => this.#snapshot(manifest));
    }
    return undefined;
  }

  #snapshot({ partition, block, chunks }: Manifest): PublishedSnapshot {
    const chunk = async (index: number): Promise<Uint8Array> => {
      const name = chunks[index]?.object ?? "";
      const bytes = await this.#call<string | null>("meridian_snapshotChunk", name);
      if (bytes === null)
        throw new IoError({ code: "CHUNK_MISSING", text: `snapshot chunk ${name} of block ${block} is gone` }, "later");
      return bytesOfHex(bytes);
    };
    return { partition, block, chunks, chunk };
  }

  async #call<Result>(method: string, ...params: unknown[]): Promise<Result> {
    for (let tries = 1; ; tries++) {
      try {
        const id = ++this.#lastId;
        const response = await fetch(this.#url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ jsonrpc: "2.0", id, method, params }),
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        const answer = (await response.json()) as Answer;
        if (answer.error === undefined) return answer.result as Result;
        const { code: rpcCode, message } = answer.error;
        throw new IoError({ code: "RPC_ERROR", method, rpcCode, message }, "never");
      } catch (error) {
        if (error instanceof IoError) throw error;
        if (tries >= TRIES_MAX)
          throw new IoError({ code: "RPC_TRANSPORT", text: `${this.#url}: ${String(error)}` }, "later", error);
        await delay(RETRY_MS);
      }
    }
  }
}
