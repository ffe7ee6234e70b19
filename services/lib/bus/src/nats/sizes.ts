/** How what a server has for files is shared among the streams and buckets. */
import { LOG_BYTES_MAX, OUT_BYTES_MAX, SETTINGS_BYTES_MAX, SETTINGS_BYTES_MIN, SIZE_SHARES } from "../limits.ts";

export type Store = keyof typeof SIZE_SHARES;
export type Sizes = Record<Store, number>;

export const STORES = ["log", "out", "objects", "settings"] as const satisfies Store[];

const MOST: Sizes = { log: LOG_BYTES_MAX, out: OUT_BYTES_MAX, objects: Infinity, settings: SETTINGS_BYTES_MAX };
const LEAST: Sizes = { log: 1, out: 1, objects: 1, settings: SETTINGS_BYTES_MIN };
const PERCENT = 100;

/**
 * Bytes of each; their sum is at most what `SIZE_SHARES` add up to, as long as the fixed ones leave anything.
 * @param totalBytes what the server has for files
 * @param fixed sizes that are not to be shared out: set by somebody
 */
export function shareOut(totalBytes: number, fixed: Partial<Sizes>): Sizes {
  const sum = (stores: readonly Store[], bytesOf: (store: Store) => number) =>
    stores.reduce((total, store) => total + bytesOf(store), 0);
  const open = STORES.filter((store) => fixed[store] === undefined);
  const free = totalBytes - sum(STORES, (store) => fixed[store] ?? 0);
  const left = (Math.max(0, free) * sum(STORES, (store) => SIZE_SHARES[store])) / PERCENT;
  const shares = sum(open, (store) => SIZE_SHARES[store]);
  const sizeOf = (store: Store) =>
    fixed[store] ?? Math.max(LEAST[store], Math.min(Math.floor((left * SIZE_SHARES[store]) / shares), MOST[store]));
  return { log: sizeOf("log"), out: sizeOf("out"), objects: sizeOf("objects"), settings: sizeOf("settings") };
}
