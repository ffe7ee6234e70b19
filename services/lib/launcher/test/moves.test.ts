/** Accounts move between partitions while transactions run over them, and hosts are killed in the middle of it. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type RangeMap, assert, indexRanges, isIoError } from "@meridian/core";
import { RpcSource, describeDifference, verify } from "@meridian/verify";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { loadAccounts, testAccounts } from "../src/accounts.ts";
import { pin, readRanges } from "../src/admin/admin.ts";
import { balancesOf, checkReceipts } from "../src/demo/demo.ts";
import { compile } from "../src/workload/compile.ts";
import { followBlocks } from "../src/workload/follow.ts";
import { sendLane } from "../src/workload/send.ts";
import { sign } from "../src/workload/sign.ts";
import { type Token, balanceOfData, createdAddress, deployTokens, nextNonces, sendAndConfirm } from "../src/workload/token.ts";
import { type Transfer, approveData, planTransfers } from "../src/workload/transfers.ts";
import { CHAIN_ID, type TestCluster, startTestCluster } from "./cluster.ts";

const HOSTS = 2;
const PARTITIONS = 4;
const EACH = 1_000_000;
const MOVE_MS = 40_000;
const TRIES_MAX = 3;
const ROUND_PAUSE_MS = 100;

const holders = loadAccounts(12, "moves");
let on: TestCluster;
let tokens: Token[];
let forwarder: Uint8Array;

beforeAll(async () => {
  on = await startTestCluster({ partitions: PARTITIONS, hosts: HOSTS, funded: 2, admin: true });
  const [token, forward] = [compile("DemoToken.sol")["DemoToken"], compile("TestForwarder.sol")["TestForwarder"]];
  assert(token !== undefined && forward !== undefined, "the contracts are compiled");
  const deployers = loadAccounts(60, "deployers");
  tokens = await deployTokens({ rpc: on.rpc, chainId: CHAIN_ID, ranges: on.ranges, token, deployers, holders, each: EACH });
  const [deployer] = testAccounts(1);
  assert(deployer !== undefined, "there is a first account");
  const creation = { nonce: 0, to: null, data: forward.initCode, valueWei: 0n, gasLimit: 1_000_000 };
  await sendAndConfirm(on.rpc, [sign(CHAIN_ID, deployer, creation)]);
  forwarder = createdAddress(deployer, 0);
  const approval = { data: approveData(forwarder), valueWei: 0n, gasLimit: 80_000 };
  const approvals = tokens.flatMap(({ addressBytes: to }, nonce) =>
    holders.map((holder) => sign(CHAIN_ID, holder, { nonce, to, ...approval })),
  );
  await sendAndConfirm(on.rpc, approvals);
});
afterAll(() => on.stop());

/** Rounds of transfers, half of them through the forwarder, until `stop`. */
function startTransfers(nonces: number[]) {
  const sent: Transfer[] = [];
  let isStopped = false;
  const run = async (): Promise<void> => {
    for (let seed = 1; !isStopped; seed++) {
      const plan = { chainId: CHAIN_ID, accounts: holders, nonces, tokens, count: holders.length, seed, amountMax: 100 };
      const transfers = planTransfers({ ...plan, forwarders: { addresses: [forwarder], share: 0.5 } });
      sent.push(...transfers);
      const signed = transfers.map((transfer) => transfer.signed);
      await sendLane(on.rpc, signed, { batch: signed.length, stallMsMax: 40_000, isPatient: true });
      await new Promise((resolve) => setTimeout(resolve, ROUND_PAUSE_MS)); // Steady, not as much as goes.
    }
  };
  const running = run();
  const stop = async (): Promise<void> => {
    isStopped = true;
    await running;
  };
  return { sent, stop };
}

/** What `totalSupply` and a nonce say at `latest` while accounts move: nothing else than always, and never that it is gone. */
function startReads(token: Token) {
  const wrong: string[] = [];
  let [isStopped, right] = [false, 0];
  const supply = `0x${(EACH * holders.length).toString(16).padStart(64, "0")}`;
  const run = async (): Promise<void> => {
    while (!isStopped) {
      const said = await on.rpc.call<string>("eth_call", { to: token.address, data: "0x18160ddd" }, "latest").catch(textOf);
      if (said === supply) right++;
      else if (!/not running|did not answer|ask again|busy/.test(said)) wrong.push(said); // A host starts again.
    }
  };
  const running = run();
  const stop = async () => {
    isStopped = true;
    await running;
    return { wrong, right };
  };
  return { stop };
}

const textOf = (error: unknown): string => (isIoError(error) ? JSON.stringify(error.detail) : String(error));

/** Again if the scheduler gave it up, as it may when a host is away for long. */
async function move(address: string, partition: number | null): Promise<RangeMap> {
  for (let tries = 1; ; tries++) {
    try {
      return (await pin(on.rpc, address, partition, MOVE_MS)).map;
    } catch (error) {
      if (!isIoError(error, "GIVEN_UP") || tries === TRIES_MAX) throw error;
    }
  }
}

/** Moves an account and kills a host as soon as the move is under way. */
async function moveAndKill(address: string, to: number, host: number): Promise<void> {
  const moving = move(address, to);
  await vi.waitFor(async () => expect((await readRanges(on.rpc)).moving).toBe(true), { timeout: 5_000, interval: 5 });
  await on.cluster.processes.get(`host-${host}`)?.kill("SIGKILL");
  const map = await moving;
  expect(indexRanges(map).ownerOf(Buffer.from(address.slice(2), "hex"), 0)).toBe(to);
}

interface TransferLog {
  blockNumber: string;
  topics: string[];
  data: string;
}

/** A holder's balance at the end of each block from the first that logs tell of, by what the token's logs say. */
async function balancesByLogs(token: Token, holder: string, last: number): Promise<(block: number) => bigint> {
  const filter = { address: token.address, fromBlock: "0x0", toBlock: `0x${last.toString(16)}` };
  const logs = (await on.rpc.call<TransferLog[]>("eth_getLogs", filter)).filter(({ topics }) => topics.length === 3);
  const isHolder = (topic: string | undefined) => topic?.endsWith(holder.slice(2)) === true;
  const transfers = logs.filter(({ data, topics }) => data.length === 66 && topics[0]?.startsWith("0xddf252ad"));
  return (block) =>
    transfers
      .filter(({ blockNumber }) => Number(blockNumber) <= block)
      .reduce(
        (sum, { topics, data }) => sum + (isHolder(topics[2]) ? BigInt(data) : 0n) - (isHolder(topics[1]) ? BigInt(data) : 0n),
        0n,
      );
}

/** Every block that can still be read says what it always said; before the move it cannot be read. */
async function checkOldBlocks(token: Token): Promise<{ right: number; pruned: number }> {
  const [holder] = holders;
  assert(holder !== undefined, "there is a holder");
  const last = Number(await on.rpc.call<string>("eth_blockNumber"));
  const want = await balancesByLogs(token, holder.address, last);
  const counts = { right: 0, pruned: 0 };
  for (let block = Math.max(0, last - 60); block <= last; block++) {
    const call = { to: token.address, data: balanceOfData(holder) };
    const said = await on.rpc.call<string>("eth_call", call, `0x${block.toString(16)}`).catch(textOf);
    if (said.includes("is not kept any more")) counts.pruned++;
    else {
      expect(BigInt(said), `block ${block}`).toBe(want(block));
      counts.right++;
    }
  }
  return counts;
}

test(
  "tokens and senders move back and forth under crossing load, hosts die meanwhile, nothing is lost",
  { timeout: 150_000 },
  async () => {
    const { rpc, cluster } = on;
    const [token, other] = tokens;
    const [sender] = holders;
    assert(token !== undefined && other !== undefined && sender !== undefined, "there are tokens and senders");
    const first = Number(await rpc.call<string>("eth_blockNumber")) + 1;
    const follower = followBlocks(rpc, first - 1);
    const load = startTransfers(await nextNonces(rpc, holders));
    const reads = startReads(token);

    await move(token.address, 1);
    await move(sender.address, 3);
    await move(`0x${Buffer.from(forwarder).toString("hex")}`, 0);
    await move(token.address, null); // Back to partition 0, whose range it is in.
    await moveAndKill(token.address, 1, 0); // The old owner's host.
    await moveAndKill(other.address, 2, 0); // The new owner's.
    await move(sender.address, null);
    await moveAndKill(token.address, 2, 1);

    await load.stop();
    await follower.until(load.sent.length, 30_000);
    await follower.stop();
    const { wrong, right } = await reads.stop();
    expect(wrong).toEqual([]);
    expect(right).toBeGreaterThan(10);
    await checkReceipts(rpc, load.sent, first, follower.block);
    for (const [index, { address }] of tokens.entries()) {
      const want = holders.map(() => EACH);
      for (const { from, to, amount } of load.sent.filter((transfer) => transfer.token === index)) {
        want[from] = (want[from] ?? 0) - amount;
        want[to] = (want[to] ?? 0) + amount;
      }
      expect(await balancesOf(rpc, address, holders)).toEqual(want.map(BigInt));
    }
    const old = await checkOldBlocks(token);
    expect(old.right).toBeGreaterThan(0);
    expect(old.pruned).toBeGreaterThan(0);
    // Each block's digest is that of a replay that knows no partitions.
    const report = await verify(new RpcSource(cluster.rpcUrl), { from: 1, snapshot: false, differencesMax: 5 });
    expect(report.differences.map((difference) => describeDifference(difference))).toEqual([]);
  },
);

const ADMIN = fileURLToPath(new URL("../src/admin/main.ts", import.meta.url));

async function command(...args: string[]): Promise<string> {
  const run = promisify(execFile)(process.execPath, ["--disable-warning=ExperimentalWarning", ADMIN, ...args]);
  const { stdout, stderr } = await run.catch((error: unknown) => error as { stdout: string; stderr: string });
  return stdout + stderr;
}

test("npm run meridian shows the map, pins, unpins, and says in words why it does not", async () => {
  const address = `0x${"01".repeat(20)}`;
  const url = ["--url", on.cluster.rpcUrl];
  expect(await command("pin", address, "3", ...url)).toMatch(/lives on partition 3 by map version \d+; it took \d+ ms/);
  expect(await command("pin", address, "3", ...url)).toBe(`partition 3 owns ${address} already\n`);
  expect(await command("ranges", ...url)).toMatch(new RegExp(`${address} +3`));
  expect(await command("unpin", address, ...url)).toContain("lives where its range is");
  expect(await command("pin", "0x12", "1")).toContain("Want 0x and 40 hex digits");
});
