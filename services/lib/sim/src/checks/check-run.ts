/** All checks after a run, the sharpest first: the first that fails says what to look for. */
import { CHAIN_ID } from "../world/genesis.ts";
import { check } from "../system/failure.ts";
import type { Run } from "../system/run.ts";
import { checkArchives } from "./archives.ts";
import { checkClients } from "./clients.ts";
import { historyOf } from "./history.ts";
import { checkOrder } from "./order.ts";
import { publishedBlocks } from "./published.ts";
import { checkRebuild } from "./rebuild.ts";
import { checkSerial, publishedHashes } from "./serial.ts";
import { tallyOf } from "./tally.ts";
import type { Tally } from "./tally.ts";

export interface CheckedRun {
  tally: Tally;
  digest: Uint8Array;
}

/** @returns what happened, and the digest of what does not depend on when blocks closed. @throws CheckFailed */
export async function checkRun({ world, system, network, clients, module, rules, seen }: Run): Promise<CheckedRun> {
  const histories = historyOf(network.kept);
  checkOrder(histories);
  const blocks = publishedBlocks(histories);
  checkClients(clients, publishedHashes(blocks));
  const archived = checkArchives(system.disks, blocks);
  const { objects } = network;
  const tally = tallyOf(histories);
  for (const history of histories) {
    const { strictMisses, barredMisses } = checkRebuild({ module, chainId: CHAIN_ID, rules, objects }, history);
    tally.strictMisses += strictMisses;
    tally.barredMisses += barredMisses;
  }
  const genesis = world.genesis.cells;
  const { balances: sum, digest } = await checkSerial({ module, chainId: CHAIN_ID, genesis, blocks, archived, seen });
  check(world.destroys ? sum <= world.total : sum === world.total, "balances do not add up", () => `${sum}, not ${world.total}`);
  return { tally, digest };
}
