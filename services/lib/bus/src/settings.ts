/** Settings over any key-value store. Values are JSON, so that an operator can read them with the tools of the server. */
import { FORMAT_VERSION, IoError, assert } from "@meridian/core";
import type { ChainSettings, RangeMap, Settings, StoredRecord } from "@meridian/core";

/** Keys of the bucket; a service's records stand under `record.`. */
const CHAIN_KEY = "chain";
const MAP_KEY = "map";
const recordKey = (key: string): string => {
  assert(/^[a-z0-9.-]+$/.test(key) && !key.startsWith(".") && !key.endsWith(".") && !key.includes(".."), `record key "${key}"`);
  return `record.${key}`;
};

export interface KeyValues {
  get(key: string): Promise<StoredRecord | undefined>;
  /** False if the key has another revision; 0: it does not exist. */
  put(key: string, value: Uint8Array, revision: number): Promise<boolean>;
}

/** Writers of the map beside this one that may be faster, one after the other. */
const MAP_TRIES_MAX = 8;

export class KeyedSettings implements Settings {
  #values: KeyValues;

  constructor(values: KeyValues) {
    this.#values = values;
  }

  async get(): Promise<ChainSettings | undefined> {
    const stored = await this.#values.get(CHAIN_KEY);
    if (stored === undefined) return undefined;
    const { chainId, blockMs, blockGasLimit, genesisHash } = fromJson(CHAIN_KEY, stored.value) as Partial<ChainSettings>;
    const isWhole = [chainId, blockMs, blockGasLimit].every((field) => Number.isSafeInteger(field) && (field ?? 0) > 0);
    if (!isWhole || typeof genesisHash !== "string" || !/^[0-9a-f]{64}$/.test(genesisHash)) {
      throw new IoError(
        { code: "MALFORMED", field: CHAIN_KEY, want: "chainId, blockMs, blockGasLimit and genesisHash" },
        "never",
      );
    }
    return { chainId, blockMs, blockGasLimit, genesisHash } as ChainSettings;
  }

  async create(settings: ChainSettings): Promise<ChainSettings> {
    const { chainId, blockMs, blockGasLimit, genesisHash } = settings;
    const isNew = await this.#values.put(CHAIN_KEY, toJson({ chainId, blockMs, blockGasLimit, genesisHash }), 0);
    const standing = isNew ? settings : await this.get();
    assert(standing !== undefined, "settings exist and are not there");
    return standing;
  }

  /** A leader that is deposed and does not know it yet may still write its map. */
  async putMap(map: RangeMap): Promise<void> {
    for (let tries = 0; tries < MAP_TRIES_MAX; tries++) {
      const stored = await this.#values.get(MAP_KEY);
      if (stored !== undefined && mapOf(stored).version >= map.version) return;
      if (await this.#values.put(MAP_KEY, toJson({ map }), stored?.revision ?? 0)) return;
    }
    throw new IoError({ code: "CONTENDED", key: MAP_KEY, tries: MAP_TRIES_MAX }, "later");
  }

  async getMap(): Promise<RangeMap | undefined> {
    const stored = await this.#values.get(MAP_KEY);
    return stored === undefined ? undefined : mapOf(stored);
  }

  putRecord(key: string, value: Uint8Array, revision: number): Promise<boolean> {
    return this.#values.put(recordKey(key), value, revision);
  }

  getRecord(key: string): Promise<StoredRecord | undefined> {
    return this.#values.get(recordKey(key));
  }
}

const mapOf = ({ value }: StoredRecord): RangeMap => (fromJson(MAP_KEY, value) as { map: RangeMap }).map;

function toJson(value: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: FORMAT_VERSION, ...value }));
}

/** @throws IoError MALFORMED | FORMAT_UNKNOWN */
function fromJson(key: string, value: Uint8Array): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(value));
  } catch (error) {
    throw new IoError({ code: "MALFORMED", field: key, want: "JSON" }, "never", error);
  }
  const format = (parsed as { format?: unknown } | null)?.format;
  if (typeof format !== "number")
    throw new IoError({ code: "MALFORMED", field: `${key}.format`, want: "a format number" }, "never");
  if (format !== FORMAT_VERSION)
    throw new IoError({ code: "FORMAT_UNKNOWN", what: key, got: format, known: FORMAT_VERSION }, "never");
  return parsed as object;
}
