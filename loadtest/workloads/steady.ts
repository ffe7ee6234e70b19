/**
 * Steady ERC-20 transfers that go on whatever happens to the cluster.
 *
 * L1. A batch is sent again until every transaction in it is acknowledged: after `stop` there is none of unknown outcome.
 * L2. Lanes have accounts of their own, so what each account and token must show at the end follows from what was sent.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type RpcClient, type TestAccount, type Token, type Transfer, planTransfers, sendLane } from "@meridian/launcher";

export interface SteadyOptions {
  rpc: RpcClient;
  chainId: number;
  accounts: readonly TestAccount[];
  /** Next nonce of each account. */
  nonces: readonly number[];
  tokens: readonly Token[];
  /** Half of the transfers go through one of these contracts and cross partitions. */
  forwarders: readonly Uint8Array[];
  transactionsPerSecond: number;
  seed: number;
  /** Nothing acknowledged for this long is a failure. */
  stallMsMax: number;
}

export interface SteadyLoad {
  /** All transfers sent so far, by account index of the whole load. */
  readonly transfers: readonly Transfer[];
  /** By hash: when it was acknowledged first, in milliseconds of `performance.now()`. */
  readonly acknowledged: ReadonlyMap<string, number>;
  /** Resolves with the time of the first acknowledgement of a batch that was sent at or after `at`. */
  acknowledgedAfter(at: number): Promise<number>;
  /** Sends nothing new; resolves when everything sent is acknowledged. @throws what a lane met */
  stop(): Promise<void>;
}

const LANES = 4;
const BATCH = 25;
const AMOUNT_MAX = 10;
const CROSSING = 0.5;

export function startSteadyLoad(options: SteadyOptions): SteadyLoad {
  const transfers: Transfer[] = [];
  const acknowledged = new Map<string, number>();
  let waiters: { at: number; resolve: (acknowledgedAt: number) => void; reject: (error: unknown) => void }[] = [];
  let isStopped = false;
  const onAcknowledged = ({ hash }: { hash: string }, sentAt: number, at: number): void => {
    if (!acknowledged.has(hash)) acknowledged.set(hash, at);
    for (const waiter of waiters) if (sentAt >= waiter.at) waiter.resolve(at);
    waiters = waiters.filter((waiter) => sentAt < waiter.at);
  };
  const periodMs = (1000 * LANES * BATCH) / options.transactionsPerSecond;
  const runLane = async (lane: number): Promise<void> => {
    const indexes = [...options.accounts.keys()].filter((index) => index % LANES === lane);
    const accounts = indexes.flatMap((index) => options.accounts[index] ?? []);
    const nonces = indexes.map((index) => options.nonces[index] ?? 0);
    const { rpc, chainId, tokens, seed, stallMsMax, forwarders: addresses } = options;
    await delay((periodMs / LANES) * lane);
    for (let round = 0; !isStopped; round++) {
      const startedAt = performance.now();
      // Accounts take turns, so that the nonces of one batch do not build a long chain.
      const turn = (round * BATCH) % accounts.length;
      const order = [...accounts.keys()].map((index) => (turn + index) % accounts.length).slice(0, BATCH);
      const part = {
        accounts: order.flatMap((index) => accounts[index] ?? []),
        nonces: order.map((index) => nonces[index] ?? 0),
      };
      const planned = planTransfers({
        chainId,
        tokens,
        ...part,
        count: order.length,
        seed: seed + lane + round * LANES,
        amountMax: AMOUNT_MAX,
        forwarders: { addresses, share: CROSSING },
      });
      for (const [place, index] of order.entries()) nonces[index] = part.nonces[place] ?? 0;
      const global = (place: number) => indexes[order[place] ?? 0] ?? 0;
      transfers.push(...planned.map((transfer) => ({ ...transfer, from: global(transfer.from), to: global(transfer.to) })));
      const signed = planned.map((transfer) => transfer.signed);
      await sendLane(rpc, signed, { batch: BATCH, stallMsMax, isPatient: true, onAcknowledged });
      await delay(Math.max(0, periodMs - (performance.now() - startedAt)));
    }
  };
  const lanes = Promise.all(Array.from({ length: LANES }, (_, lane) => runLane(lane)));
  lanes.catch((error: unknown) => {
    for (const waiter of waiters) waiter.reject(error);
    waiters = [];
  });
  return {
    transfers,
    acknowledged,
    acknowledgedAfter: (at) => new Promise((resolve, reject) => waiters.push({ at, resolve, reject })),
    async stop() {
      isStopped = true;
      await lanes;
    },
  };
}
