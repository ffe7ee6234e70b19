/**
 * CPU that the gateway spends on a transaction: HTTP batches of 500 signed ERC-20 transfers, real worker threads, a scheduler
 * that accepts everything at once. The client is another process. Run: node services/gateway/bench/ingest.ts
 */
import { fork } from "node:child_process";
import { Agent, request } from "node:http";
import { availableParallelism } from "node:os";
import { encodeBeat, encodeSubmitReply, memoryBus, SUBJECT } from "@meridian/bus";
import { evenRangeMap, noTelemetry, txCount } from "@meridian/core";
import type { Bus } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import type { EngineChoice } from "@meridian/engine";
import { encodeFunctionData, parseAbi } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { LIMITS, runGateway, startWorkerPool } from "../src/run.ts";

const CHAIN_ID = 31_337;
const BATCH = 500;
const BODIES = 4; // Signed once, sent again and again: the scheduler here accepts everything.
const CONNECTIONS = 4;
const SECONDS = 6;

const [role, port] = process.argv.slice(2);
if (role === "client") await client(Number(port));
else for (const build of ["native", "wasm"] as const) await measure(build);

async function measure(build: Exclude<EngineChoice, "auto">): Promise<void> {
  const bus = memoryBus();
  await fakeScheduler(bus);
  const log = noTelemetry().log;
  const workers = availableParallelism();
  const { workerQueueMax: queueMax, workerQueueBytesMax: queueBytesMax, workerQueueSignaturesMax: queueSignaturesMax } = LIMITS;
  const gateway = await runGateway(
    {
      bus,
      engine: loadEngine(build),
      telemetry: noTelemetry(),
      startIngest: (limits) =>
        startWorkerPool({
          engine: build,
          limits,
          workers,
          queueMax,
          queueBytesMax,
          queueSignaturesMax,
          log,
          onLost: (error) => process.emitWarning(String(error)),
        }),
    },
    {
      host: "127.0.0.1",
      port: 0,
      healthPort: 0,
      origins: [],
      hosts: [],
      version: "bench",
      limits: { callsPerSecondMax: 0 },
    },
  );
  const child = fork(import.meta.filename, ["client", String(gateway.port)]);
  await new Promise((resolve) => child.once("message", resolve)); // It has signed and warmed the gateway up.
  const [startedAt, mainBefore, allBefore] = [performance.now(), process.threadCpuUsage(), process.cpuUsage()];
  child.send("go");
  const sent = await new Promise<number>((resolve) => child.once("message", (count) => resolve(Number(count))));
  const seconds = (performance.now() - startedAt) / 1_000;
  const [main, all] = [process.threadCpuUsage(mainBefore), process.cpuUsage(allBefore)];
  const mainUs = (main.user + main.system) / sent;
  const allUs = (all.user + all.system) / sent;
  const rate = Math.round(sent / seconds).toLocaleString("en");
  const cost = `main thread ${mainUs.toFixed(2)} us, workers and the rest ${(allUs - mainUs).toFixed(1)} us a transaction`;
  process.stdout.write(`${build.padEnd(6)}  ${cost}, ${rate} a second with ${workers} workers and the client on one machine\n`);
  await gateway.stop();
  await bus.close();
}

/** Leads for ever and accepts everything at once. */
async function fakeScheduler(bus: Bus): Promise<void> {
  await bus.settings.create({ chainId: CHAIN_ID, blockMs: 500, blockGasLimit: 1_000_000_000, genesisHash: "00".repeat(32) });
  await bus.settings.putMap(evenRangeMap(4));
  bus.wire.subscribe(SUBJECT.submit(1), ({ payload, respond }) => {
    const count = txCount(payload);
    respond(encodeSubmitReply({ term: 1, codes: new Uint8Array(count), details: new Float64Array(count), positions: [] }));
  });
  const latest = { number: 0, hash: new Uint8Array(32), timestamp: 0 };
  const open = { number: 1, timestamp: 1 };
  const beat = encodeBeat({
    term: 1,
    leader: "bench",
    flush: 1,
    latest,
    open,
    draining: false,
    missesTaken: [],
    mapVersion: 1,
    positions: [],
  });
  setInterval(() => bus.wire.publish(SUBJECT.beat, beat), 200).unref();
}

async function client(to: number): Promise<void> {
  const bodies = await Promise.all(Array.from({ length: BODIES }, (_, number) => signedBatch(number)));
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  for (const body of bodies) await post(agent, to, body);
  process.send?.("ready");
  await new Promise((resolve) => process.once("message", resolve));
  const endsAt = performance.now() + SECONDS * 1_000;
  let sent = 0;
  const lane = async (first: number): Promise<void> => {
    for (let number = first; performance.now() < endsAt; number++) {
      await post(agent, to, bodies[number % BODIES]!);
      sent += BATCH;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, number) => lane(number)));
  process.send?.(sent);
  agent.destroy();
  process.disconnect();
}

async function signedBatch(seed: number): Promise<string> {
  const account = privateKeyToAccount(`0x${(seed + 1).toString(16).padStart(64, "0")}`);
  const calls = Array.from({ length: BATCH }, async (_, nonce) => {
    const transfer = {
      abi: parseAbi(["function transfer(address,uint256)"]),
      functionName: "transfer",
      args: [account.address, 1n],
    } as const;
    const data = encodeFunctionData(transfer);
    const fields = { type: "eip1559", chainId: CHAIN_ID, nonce, to: account.address, gas: 60_000n, data } as const;
    const raw = await account.signTransaction(fields);
    return { jsonrpc: "2.0", id: nonce, method: "eth_sendRawTransaction", params: [raw] };
  });
  return JSON.stringify(await Promise.all(calls));
}

function post(agent: Agent, to: number, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const call = request({ agent, host: "127.0.0.1", port: to, method: "POST", headers }, (response) => {
      let bytes = 0;
      response.on("data", (chunk: Buffer) => (bytes += chunk.length));
      // An answer with an error in it is shorter or longer than 500 hashes.
      response.on("end", () =>
        bytes > BATCH * 100 && bytes < BATCH * 110 ? resolve() : reject(new RangeError(`answer of ${bytes} bytes`)),
      );
    });
    call.on("error", reject).end(body);
  });
}
