/** One round of every fault under load; `npm run chaos` does the same for longer. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cluster, startCluster } from "@meridian/launcher";
import { RpcSource, describeDifference, verify } from "@meridian/verify";
import { afterAll, beforeAll, expect, test } from "vitest";
import { failuresOf, runChaos } from "../chaos/chaos.ts";
import { FAULTS } from "../chaos/faults.ts";

let cluster: Cluster;
let dataFolder: string;

beforeAll(async () => {
  dataFolder = await mkdtemp(join(tmpdir(), "meridian-chaos-"));
  cluster = await startCluster({ dataFolder, port: 0, blockMs: 250, hosts: 4, crashesPerMinuteMax: 1_000 });
  await cluster.ready();
});
afterAll(async () => {
  await cluster.stop();
  await rm(dataFolder, { recursive: true, force: true });
});

test("kill -9 and pauses of every process in the middle of groups: nothing acknowledged is lost, no lock stays", async () => {
  const lines: string[] = [];
  const say = (text: string) => lines.push(text);
  const options = { cluster, chainId: 31_337, rounds: 1, seed: 1, accounts: 60, transactionsPerSecond: 100, settleMs: 200, say };
  const report = await runChaos(options);
  expect(failuresOf(report), lines.join("\n")).toEqual([]);
  expect(report.faults).toHaveLength(FAULTS.length);
  expect(report.acknowledged).toBe(report.checked.receipts);
  expect(report.verified.transactions).toBeGreaterThan(report.acknowledged);

  // A new leader has snapshots taken: a replay from the newest ones must come to the same.
  const from = report.verified.head.number;
  const again = await verify(new RpcSource(cluster.rpcUrl), { from, snapshot: true, differencesMax: 5 });
  expect(again.start).toMatch(/^snapshot of block \d+$/);
  expect(again.differences.map((difference) => describeDifference(difference))).toEqual([]);
});
