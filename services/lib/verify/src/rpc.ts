/** The published chain over JSON-RPC: Meridian's own methods beside Ethereum's (docs of the gateway). */
import { IoError, type RangeMap, type SnapshotManifest, bytesOfHex } from "@meridian/core";
import type { ChainSource, Genesis, PublishedBlock, PublishedSnapshot } from "./source.ts";

const TIMEOUT_MS = 60_000;
const TRIES_MAX = 5;
const RETRY_MS = 500;

interface Answer {
  result?: unknown;
  error?: { code: number; message: string };
}

/** @throws IoError RPC_ERROR if a method is refused; RPC_TRANSPORT if the node does not answer after several tries */
export class RpcSource implements ChainSource {
  readonly #url: string;
  #lastId = 0;

  constructor(url: string) {
    this.#url = url;
  }
}
