/**
 * What a transaction costs the scheduler's process and the server's, with everything that is around the sequencer: messages,
 * codec, hashes, appends. A real scheduler on a real server; submits at a fixed rate; partitions that read and execute nothing.
 * `node bench/process.ts [transactions a second] [calls of a batch, 1: singles] [seconds] [folder of the server's store]`
 * With CPU_PROF=<folder> the scheduler writes a profile there.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  SUBJECT,
  connectBus,
  decodeBeat,
  decodeReadRequest,
  decodeSubmitReply,
  encodeBuilt,
  encodeReadReply,
  encodeReport,
} from "@meridian/bus";
import { NONCE_STATE_BYTES, SUBMIT, TX, evenRangeMap, writeU32, writeU64 } from "@meridian/core";
import type { Beat, Bus, PartitionId } from "@meridian/core";
import { openLedger, reportOf, transferRecord } from "@meridian/core/sequencer/testing";
import { testNatsServer } from "@meridian/nats-server/testing";

const [RATE, CALLS, SECONDS] = [
  Number(process.argv[2] ?? 100_000),
  Number(process.argv[3] ?? 1_000),
  Number(process.argv[4] ?? 10),
];
const PARTITIONS = 4;
/** Of a submit, when singles are sent; the gateway gathers about so many. */
const SINGLES = 100;
const RAW_BYTES = 142;
const GAS = 60_000;
const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const TICKS_PER_SECOND = 100;

const genesis = (gasLimit: number): string =>
  JSON.stringify({
    config: { chainId: 31_337 },
    timestamp: "0x5",
    gasLimit: `0x${gasLimit.toString(16)}`,
    alloc: { "0x00000000000000000000000000000000000000aa": { balance: "0x64" } },
  });

const folder = await mkdtemp(join(process.argv[5] ?? tmpdir(), "meridian-bench-"));
const nats = await testNatsServer({ storeFolder: join(folder, "store") });
const bus = await connectBus({ url: nats.url, name: "bench", durability: "process" });
await writeFile(join(folder, "genesis.json"), genesis(100_000_000_000));
const profile = process.env["CPU_PROF"];
const profiled = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
const child = spawn(process.execPath, ["--initial-old-space-size=256", ...profiled, MAIN], {
  env: {
    ...process.env,
    MERIDIAN_NATS_URL: nats.url,
    MERIDIAN_INSTANCE: "bench",
    MERIDIAN_DURABILITY: "process",
    MERIDIAN_GENESIS: join(folder, "genesis.json"),
  },
  stdio: ["ignore", "ignore", "inherit"],
});
const stopped = new AbortController();
try {
  let beat: Beat | undefined;
  bus.wire.subscribe(SUBJECT.beat, ({ payload }) => (beat = decodeBeat(payload)));
  while (beat === undefined) await delay(20);
  for (let partition = 0; partition < PARTITIONS; partition++) follow(bus, partition);
  const submits = payloads(RATE * SECONDS);
  await delay(1_000);
  await load(bus, beat.term, submits);
} finally {
  stopped.abort();
  child.kill("SIGTERM");
  await new Promise((resolve) => child.once("exit", resolve));
  await bus.close();
  await nats.stop();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);

/** A partition that applies everything at once. */
function follow(on: Bus, partition: PartitionId): void {
  const state = { n: 0, open: 0 };
  const ledger = openLedger(evenRangeMap(PARTITIONS));
  const report = () => {
    const { n, open } = state;
    on.wire.publish(
      SUBJECT.report(partition),
      encodeReport(reportOf(ledger, partition, { n, settledN: n, closedBlock: Math.max(0, open - 1) })),
    );
  };
  setInterval(report, 100);
  on.wire.subscribe(SUBJECT.read(partition), (message) => {
    const request = decodeReadRequest(message.payload);
    if (request.op !== "nonces") return;
    const nonces = new Uint8Array((request.addresses.length / 20) * NONCE_STATE_BYTES);
    for (let at = 8; at < nonces.length; at += NONCE_STATE_BYTES) nonces[at] = 1;
    message.respond(encodeReadReply({ op: "nonces", nonces }));
  });
  const start = { n: 0, flush: 0, hash: new Uint8Array(32) };
  const { signal } = stopped;
  void (async () => {
    for await (const batch of on.log.read(partition, start, { bytesMax: 16_000_000, signal })) {
      for (const { message } of batch) {
        state.n = message.n;
        for (const entry of message.entries) {
          if (entry.kind === "genesis" || entry.kind === "block") state.open = entry.opens.number;
          if (partition !== 0 || (entry.kind !== "block" && entry.kind !== "genesis")) continue;
          const number = entry.opens.number - 1;
          const built = { archive: "bench", number, hash: new Uint8Array(32).fill((number % 250) + 1), timestamp: 1 };
          on.wire.publish(SUBJECT.built, encodeBuilt(built));
        }
      }
      report();
    }
  })();
}

/** Records of signed batches or of singles, all made before anything is sent. */
function payloads(count: number): { payload: Uint8Array; records: number }[] {
  const records = CALLS === 1 ? SINGLES : CALLS;
  const senders = CALLS === 1 ? 5_000 : 256;
  const made: { payload: Uint8Array; records: number }[] = [];
  const template = transferRecord({ sender: 0, nonce: 0, to: 0, rawBytes: RAW_BYTES, gas: GAS, call: [0, 0] });
  const addresses = Array.from({ length: senders }, (_, sender) =>
    transferRecord({ sender, nonce: 0, to: 1_000 + (sender % 64) }),
  );
  for (let first = 0; first < count; first += records) {
    const payload = new Uint8Array(records * template.length);
    for (let index = 0; index < records; index++) {
      const number = first + index;
      const batch = Math.floor(number / CALLS);
      const [sender, nonce] = [batch % senders, Math.floor(batch / senders) * CALLS + (number % CALLS)];
      const at = index * template.length;
      payload.set(template, at);
      const known = addresses[sender]!;
      payload.set(known.subarray(TX.sender, TX.to + 20), at + TX.sender);
      payload.set(known.subarray(TX.declaredSet, TX.declaredSet + 21), at + TX.declaredSet);
      writeU64(payload, at + TX.nonce, nonce);
      writeU32(payload, at + TX.hash, Math.imul(batch + 1, 0x9e3779b1));
      writeU32(payload, at + TX.hash + 4, batch);
      payload[at + TX.hash + 30] = (number % CALLS) >>> 8;
      payload[at + TX.hash + 31] = number % CALLS;
    }
    made.push({ payload, records });
  }
  return made;
}

function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

async function load(on: Bus, term: number, submits: { payload: Uint8Array; records: number }[]): Promise<void> {
  const pids = { scheduler: child.pid ?? 0, nats: nats.pid };
  let before = { scheduler: 0, nats: 0, sent: 0 };
  const startedAt = performance.now();
  const times: number[] = [];
  const codes = new Map<number, number>();
  let sent = 0;
  const waiting: Promise<void>[] = [];
  for (const [number, { payload, records }] of submits.entries()) {
    // What is compiled in the first third is not counted.
    if (number === Math.floor(submits.length / 3))
      before = { scheduler: ticksOf(pids.scheduler), nats: ticksOf(pids.nats), sent };
    const dueAt = startedAt + (sent * 1_000) / RATE;
    while (performance.now() < dueAt) await delay(1);
    sent += records;
    waiting.push(
      on.wire.request(SUBJECT.submit(term), payload, { timeoutMs: 8_000 }).then(
        (reply) => {
          for (const code of decodeSubmitReply(reply).codes) codes.set(code, (codes.get(code) ?? 0) + 1);
          times.push(performance.now() - dueAt);
        },
        () => void codes.set(-1, (codes.get(-1) ?? 0) + records),
      ),
    );
  }
  await Promise.all(waiting);
  const ms = performance.now() - startedAt;
  const [scheduler, server] = [ticksOf(pids.scheduler) - before.scheduler, ticksOf(pids.nats) - before.nats];
  const us = (ticks: number) => ((ticks * 1e6) / TICKS_PER_SECOND / (sent - before.sent)).toFixed(2);
  times.sort((left, right) => left - right);
  const at = (share: number) => (times[Math.floor(times.length * share)] ?? 0).toFixed(0);
  const names = Object.entries(SUBMIT).flatMap(([name, code]) => (codes.has(code) ? [`${name} ${codes.get(code)}`] : []));
  console.log(
    `${sent} in ${(ms / 1_000).toFixed(1)} s (${Math.round((sent * 1_000) / ms)}/s): scheduler ${us(scheduler)} us, ` +
      `server ${us(server)} us a transaction; answered after ${at(0.5)} ms, p99 ${at(0.99)} ms; ${names.join(", ")}` +
      `${codes.has(-1) ? `, no answer ${codes.get(-1)}` : ""}`,
  );
}
