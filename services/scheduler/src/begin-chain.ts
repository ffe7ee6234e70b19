/**
 * The first start. Whoever creates the settings decides which genesis the chain has; several schedulers that start at once with
 * the same file all do the same, and one of them is faster at each step.
 */
import { IoError, evenRangeMap, hexOf, isIoError } from "@meridian/core";
import type { Bus, ChainSettings, Entry, RangeMap } from "@meridian/core";
import { wait } from "@meridian/process";
import type { NewChain, SchedulerOptions, SchedulerPorts, SchedulerTiming } from "./ports.ts";

/** Name of the object with the packed genesis cells. */
export const GENESIS_OBJECT = "genesis";

/**
 * Begins the chain if it has not begun, and returns its settings. Waits, bounded, for another scheduler that has a genesis file
 * and for a server that fails.
 * @throws IoError GENESIS_MISMATCH | CHAIN_MISSING
 */
export async function beginChain(
  ports: SchedulerPorts,
  options: SchedulerOptions,
  timing: SchedulerTiming,
  signal: AbortSignal,
): Promise<ChainSettings | undefined> {
  const { clock, telemetry } = ports;
  const endsAt = clock.now() + timing.chainMsMax;
  for (let isTold = false; !signal.aborted;) {
    let failure: unknown = new IoError({ code: "CHAIN_MISSING", help: "name a genesis file in MERIDIAN_GENESIS" }, "never");
    try {
      const settings = await tryBegin(ports, options.chain);
      if (settings !== undefined) return settings;
      if (!isTold) telemetry.log.info({}, "Waiting for a scheduler with a genesis file to begin the chain");
      isTold = true;
    } catch (error) {
      if (!isIoError(error) || error.retry === "never") throw error;
      telemetry.log.warn({ ...error.detail }, "The chain could not be begun or found yet");
      failure = error;
    }
    if (clock.now() + timing.retryMs >= endsAt) throw failure;
    await wait(clock, timing.retryMs, signal);
  }
  return undefined;
}

/** Undefined if the chain has not begun and there is no genesis file to begin it with. */
async function tryBegin(ports: SchedulerPorts, chain: NewChain | undefined): Promise<ChainSettings | undefined> {
  const { bus, telemetry } = ports;
  const existing = await bus.settings.get();
  if (existing !== undefined && (await bus.log.tails()).length > 0) {
    checkSame(existing, chain);
    return existing;
  }
  if (chain === undefined) return undefined;
  const { chainId, blockGasLimit, hash, accounts } = chain.genesis;
  const mine = { chainId, blockMs: chain.blockMs, blockGasLimit, genesisHash: hexOf(hash) };
  const settings = await bus.settings.create(mine);
  checkSame(settings, chain);
  await putGenesis(bus, chain.genesis.cells);
  const map = genesisMap(chain);
  const timestamp = chain.genesis.timestamp ?? Math.floor(ports.unixMs() / 1000);
  const opens = { number: 1, timestamp, prevrandao: ports.randomBytes(32), gasLimit: settings.blockGasLimit };
  const entry: Entry = { kind: "genesis", index: 0, chainId, genesisHash: hash, map, opens };
  await bus.log.begin(map.partitions.map(({ id }) => ({ partition: id, entries: [entry] })));
  telemetry.log.info({ ...settings, accounts, partitions: chain.partitions }, "Chain begun");
  return settings;
}

/** Equal ranges, and the accounts that the genesis file places elsewhere. */
function genesisMap({ genesis, partitions }: NewChain): RangeMap {
  const lost = genesis.pins.find(({ partition }) => partition >= partitions);
  if (lost !== undefined) {
    const field = `config.meridian.pins.${lost.address}`;
    throw new IoError(
      { code: "GENESIS", field, got: lost.partition, want: `below ${partitions}, the number of partitions` },
      "never",
    );
  }
  return { ...evenRangeMap(partitions), pins: genesis.pins };
}

/** The object is there before the first entry that names it. */
async function putGenesis(bus: Bus, cells: Uint8Array): Promise<void> {
  const existing = await bus.objects.get(GENESIS_OBJECT);
  if (existing !== undefined && Buffer.compare(existing, cells) === 0) return;
  await bus.objects.put(GENESIS_OBJECT, cells);
}

function checkSame(settings: ChainSettings, chain: NewChain | undefined): void {
  if (chain === undefined) return;
  const { chainId, hash } = chain.genesis;
  if (settings.genesisHash === hexOf(hash) && settings.chainId === chainId) return;
  const facts = { chainId: settings.chainId, genesisHash: settings.genesisHash, gotChainId: chainId, gotHash: hexOf(hash) };
  throw new IoError({ code: "GENESIS_MISMATCH", ...facts, help: "this chain was begun with another genesis file" }, "never");
}
