/** `--pins`: a file that says where accounts of a new chain live. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { IoError } from "@meridian/core";

/**
 * Reads {"0x address": partition}.
 * @throws IoError PINS with what is wrong
 */
export async function readPins(file: string, partitions: number): Promise<Record<string, number>> {
  const wrong = (text: string) => new IoError({ code: "PINS", text: `--pins ${file}: ${text}` }, "never");
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) throw wrong("there is no such file");
  const parsed = parse(text);
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw wrong('want JSON like {"0x…": 3}: partitions by address');
  const pins = Object.entries(parsed as Record<string, unknown>).map(([address, partition]): [string, number] => {
    if (!/^0x[0-9a-fA-F]{40}$/.test(address)) throw wrong(`${address} is no address: want 0x and 40 hex digits`);
    if (!Number.isInteger(partition) || Number(partition) < 0 || Number(partition) >= partitions)
      throw wrong(`${address} goes to ${JSON.stringify(partition)}: want a partition from 0 to ${partitions - 1}`);
    return [address.toLowerCase(), Number(partition)];
  });
  return Object.fromEntries(pins);
}

/** Refuses pins that are not those of the chain in the folder: from genesis on they change only by moves. @throws IoError PINS */
export async function refuseOtherPins(dataFolder: string, pins: Record<string, number>): Promise<void> {
  const text = await readFile(join(dataFolder, "genesis.json"), "utf8").catch(() => undefined);
  if (text === undefined) return;
  const genesis = JSON.parse(text) as { config?: { meridian?: { pins?: Record<string, number> } } };
  const sorted = (map: Record<string, number>) => JSON.stringify(Object.entries(map).sort());
  if (sorted(genesis.config?.meridian?.pins ?? {}) === sorted(pins)) return;
  const way = "move accounts with npm run meridian -- pin, or use another --data or --reset";
  throw new IoError({ code: "PINS", text: `the chain in ${dataFolder} began with other pins: ${way}` }, "never");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // The caller says what it wants.
  }
}
