/**
 * CPU that the gateway spends on a transaction: bodies of signed ERC-20 transfers, real worker threads, a scheduler that accepts
 * everything at once. The client is another process. Run: node services/gateway/bench/ingest.ts [native | wasm] [body]...
 */
import { fork } from "node:child_process";
import { Agent, request } from "node:http";
import { availableParallelism } from "node:os";
import { encodeBeat, encodeSubmitReply, memoryBus, SUBJECT } from "@meridian/bus";
import { evenRangeMap, noTelemetry, txCount } from "@meridian/core";
import type { Bus } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import type { EngineChoice } from "@meridian/engine";
import { LIMITS, runGateway, startWorkerPool } from "../src/run.ts";
import { BODIES, bodyOf, CHAIN_ID } from "./bodies.ts";
import type { BodyKind } from "./bodies.ts";

const REPEATS = 4; // Bodies that are signed once and sent again and again: the scheduler here accepts everything.
const CONNECTIONS = 4;
const SECONDS = 5;

const [role, ...more] = process.argv.slice(2);
if (role === "client") await client(Number(more[0]), more[1] as BodyKind);
else {
  const builds = (["native", "wasm"] as const).filter((build) => role === undefined || role === build);
  const kinds = (Object.keys(BODIES) as BodyKind[]).filter((kind) => more.length === 0 || more.includes(kind));
  for (const build of builds) for (const kind of kinds) await measure(build, kind);
}

async function measure(build: Exclude<EngineChoice, "auto">, kind: BodyKind): Promise<void> {
  const bus = memoryBus();
  await fakeScheduler(bus);
  const { workerQueueMax: queueMax, workerQueueBytesMax: queueBytesMax, workerQueueSignaturesMax: queueSignaturesMax } = LIMITS;
  const pool = { workers: availableParallelism(), queueMax, queueBytesMax, queueSignaturesMax, log: noTelemetry().log };
  const onLost = (error: unknown) => process.emitWarning(String(error));
  const gateway = await runGateway(
    {
      bus,
      engine: loadEngine(build),
      telemetry: noTelemetry(),
      startIngest: (limits) => startWorkerPool({ ...pool, engine: build, limits, onLost }),
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
  const child = fork(import.meta.filename, ["client", String(gateway.port), kind]);
  await new Promise((resolve) => child.once("message", resolve)); // It has signed and warmed the gateway up.
  const [startedAt, mainBefore, allBefore] = [performance.now(), process.threadCpuUsage(), process.cpuUsage()];
  child.send("go");
  const sent = await new Promise<number>((resolve) => child.once("message", (count) => resolve(Number(count))));
  const seconds = (performance.now() - startedAt) / 1_000;
  const [main, all] = [process.threadCpuUsage(mainBefore), process.cpuUsage(allBefore)];
  const mainUs = (main.user + main.system) / sent;
  const allUs = (all.user + all.system) / sent;
  const rate = Math.round(sent / seconds).toLocaleString("en");
  const parts = `main thread ${mainUs.toFixed(2)}, workers and the rest ${(allUs - mainUs).toFixed(2)}`;
  const cost = `${allUs.toFixed(2)} us a transaction, ${parts}`;
  process.stdout.write(`${build.padEnd(6)}  ${kind.padEnd(7)}  ${cost}; ${rate} a second, the client on the same machine\n`);
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

async function client(to: number, kind: BodyKind): Promise<void> {
  const { path, type, calls, answerBytes } = BODIES[kind];
  const bodies = await Promise.all(Array.from({ length: REPEATS }, (_, seed) => bodyOf(kind, seed)));
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const send = (body: Uint8Array) => post(agent, { to, path, type }, body, answerBytes);
  for (const body of bodies) await send(body);
  process.send?.("ready");
  await new Promise((resolve) => process.once("message", resolve));
  const endsAt = performance.now() + SECONDS * 1_000;
  let sent = 0;
  const lane = async (first: number): Promise<void> => {
    for (let number = first; performance.now() < endsAt; number++) {
      await send(bodies[number % REPEATS]!);
      sent += calls;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, number) => lane(number)));
  process.send?.(sent);
  agent.destroy();
  process.disconnect();
}

function post(
  agent: Agent,
  { to, path, type }: { to: number; path: string; type: string },
  body: Uint8Array,
  [least, most]: readonly [number, number],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": type, "content-length": body.length };
    const call = request({ agent, host: "127.0.0.1", port: to, path, method: "POST", headers }, (response) => {
      let bytes = 0;
      response.on("data", (chunk: Buffer) => (bytes += chunk.length));
      // An answer with an error in it is shorter or longer.
      response.on("end", () =>
        bytes >= least && bytes <= most ? resolve() : reject(new RangeError(`answer of ${bytes} bytes`)),
      );
    });
    call.on("error", reject).end(body);
  });
}
