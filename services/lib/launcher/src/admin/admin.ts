/** An operator's requests about the range map, by a gateway's `admin_` methods; each waits until it is in force. */
import { setTimeout as delay } from "node:timers/promises";
import { IoError, type RangeMap, bytesOfHex, indexRanges, isIoError } from "@meridian/core";
import type { RpcClient } from "../workload/rpc.ts";

export interface Ranges {
  map: RangeMap;
  /** A change is under way; null if the gateway may not ask the scheduler. */
  moving: boolean | null;
}

export interface Moved {
  map: RangeMap;
  ms: number; // from the request until the map was in force
}

const POLL_MS = 50;
const METHOD_NOT_FOUND = -32_601;

/** The map in force: of the leader, or the gateway's own copy where the admin namespace is off. @throws IoError RPC_*, ADMIN */
export async function readRanges(rpc: RpcClient): Promise<Ranges> {
  try {
    return await ask<{ map: RangeMap; moving: boolean }>(rpc, "admin_ranges");
  } catch (error) {
    if (!isIoError(error, "ADMIN")) throw error;
    return { map: await rpc.call<RangeMap>("meridian_rangeMap"), moving: null };
  }
}

/**
 * Places an account on a partition, or back in its range, and waits until the map says so.
 * @param partition null takes the account's pin away
 * @throws IoError ADMIN (with a sentence), RPC_TRANSPORT
 */
export async function pin(rpc: RpcClient, address: string, partition: number | null, msMax: number): Promise<Moved> {
  const startedAt = performance.now();
  const asked = partition === null ? ask(rpc, "admin_unpin", address) : ask(rpc, "admin_pin", address, partition);
  const { version } = (await asked) as { version: number };
  const ms = () => Math.round(performance.now() - startedAt);
  let last = "no answer";
  for (; ms() < msMax; await delay(POLL_MS)) {
    try {
      const { map, moving } = await ask<{ map: RangeMap; moving: boolean }>(rpc, "admin_ranges");
      if (map.version >= version) return isThere(map, address, partition) ? { map, ms: ms() } : givenUp(address, map.version);
      if (!moving) return givenUp(address, map.version);
      last = "the ranges are still being handed over";
    } catch (error) {
      if (!isIoError(error) || isIoError(error, "GIVEN_UP")) throw error;
      last = textOf(error); // A leader or a gateway that starts again.
    }
  }
  throw new IoError({ code: "ADMIN", text: `${address} has not moved after ${msMax} ms (${last}); it may still move` }, "later");
}

function isThere(map: RangeMap, address: string, partition: number | null): boolean {
  const owner = indexRanges(map).ownerOf(bytesOfHex(address), 0);
  const isPinned = map.pins.some((pinned) => `0x${pinned.address}` === address.toLowerCase());
  return partition === null ? !isPinned : owner === partition;
}

function givenUp(address: string, version: number): never {
  const text = `the move of ${address} was given up, the map stays at version ${version}: nothing has changed, ask again`;
  throw new IoError({ code: "GIVEN_UP", text }, "later");
}

/** @throws IoError ADMIN */
async function ask<Result>(rpc: RpcClient, method: string, ...params: unknown[]): Promise<Result> {
  try {
    return await rpc.call<Result>(method, ...params);
  } catch (error) {
    if (!isIoError(error, "RPC_ERROR")) throw error;
    const { rpcCode, message = "" } = error.detail as { rpcCode?: number; message?: string };
    throw new IoError({ code: "ADMIN", text: rpcCode === METHOD_NOT_FOUND ? isOff(rpc.url) : plain(message) }, "never", error);
  }
}

const isOff = (url: string): string =>
  `the admin namespace is off at ${url}: set MERIDIAN_ADMIN=true for the gateway and the schedulers (npm start -- --admin)`;

/** Nobody answers for the leader where schedulers do not have the setting. */
const plain = (message: string): string =>
  /not running/.test(message) ? `no scheduler answers: either none leads, or MERIDIAN_ADMIN=true is not set for it` : message;

/** The sentence of a failure that has one; else its code. */
export function textOf(error: IoError<{ code: string; text?: string }>): string {
  return error.detail.text ?? error.message;
}
