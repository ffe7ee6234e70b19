/** The gateway, put together from its ports. */
import type { Bus, ChainSettings, EngineModule, Headers, Telemetry } from "@meridian/core";
import { serveHealth } from "@meridian/process";
import type { Readiness } from "@meridian/process";
import { ReceiptStreams } from "./binary/streams.ts";
import { makeBinary } from "./binary/transactions.ts";
import { adminOf } from "./chain/admin.ts";
import { archiveReader } from "./chain/archive.ts";
import { stateReader } from "./chain/state.ts";
import { watchChain } from "./chain/view.ts";
import type { ChainView } from "./chain/view.ts";
import { makeGateway } from "./gateway.ts";
import { rateLimit } from "./http/rate-limit.ts";
import { serveHttp } from "./http/server.ts";
import type { IngestLimits } from "./ingest/ingest.ts";
import type { Ingest } from "./ingest/worker-pool.ts";
import { LIMITS } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { methodsOf } from "./methods/index.ts";
import type { Backend } from "./methods/method.ts";
import { callRunner } from "./rpc/run-calls.ts";
import type { CountCalls } from "./rpc/run-calls.ts";
import { makeReceiptWaits } from "./submit/receipt-waits.ts";
import { makeRecent } from "./submit/recent.ts";
import { Submitter } from "./submit/submitter.ts";

export interface GatewayRunPorts {
  bus: Bus;
  engine: EngineModule;
  telemetry: Telemetry;
  /** Starts what decodes transactions: worker threads, or in tests the same function in this thread. */
  startIngest(limits: IngestLimits): Promise<Ingest>;
}

export interface GatewayRunOptions {
  host: string;
  /** 0 for any free one. */
  port: number;
  /** Port of /healthz and /readyz beside those on `port`, on all addresses; 0 for none. */
  healthPort: number;
  origins: readonly string[];
  hosts: readonly string[];
  /** Text of web3_clientVersion. */
  version: string;
  /** With the methods that move accounts. */
  hasAdmin?: boolean;
  limits?: Partial<Limits>;
}

export interface RunningGateway {
  readonly port: number;
  readonly chain: ChainSettings;
  stop(): Promise<void>;
}

/**
 * Resolves when the gateway listens, which it does once there is a chain.
 * @throws IoError NO_CHAIN, WORKER_LOST; Error with code EADDRINUSE
 */
export async function runGateway(ports: GatewayRunPorts, options: GatewayRunOptions): Promise<RunningGateway> {
  const { bus, engine, telemetry } = ports;
  const { log } = telemetry;
  const limits: Limits = { ...LIMITS, ...options.limits };
  const view = await watchChain(bus, { ...limits, log });
  const chain = view.settings;
  const decode = {
    chainId: chain.chainId,
    gasLimitMax: limits.transactionGasMax,
    transactionBytesMax: limits.transactionBytesMax,
  };
  const ingest = await ports.startIngest({ decode, batchMax: limits.batchMax, callsMax: limits.binaryCallsMax });
  const recent = makeRecent({ bytesMax: limits.recentBytesMax, ageMsMax: limits.recentMsMax });
  const submitter = new Submitter(bus.wire, view, telemetry, {
    ...limits,
    attemptMsMax: limits.submitAttemptMsMax,
    inFlightMax: limits.submitInFlightMax,
  });
  const asking = { timeoutMs: limits.readMsMax, absentMsMax: limits.absentMsMax };
  const readers = (headers: Headers) => {
    const options = { ...asking, headers };
    return {
      state: stateReader(bus.wire, view, options),
      archive: archiveReader(bus.wire, options),
      admin: adminOf(bus.wire, options),
    };
  };
  const untraced = readers({});
  const waits = makeReceiptWaits(view, untraced.archive, log);
  const streams = new ReceiptStreams(view, untraced.archive, telemetry, limits);
  const load = () => ({
    decoding: ingest.queued(),
    submitting: submitter.inFlight(),
    waitingForReceipts: waits.waiting(),
    streaming: streams.waiting(),
  });
  const { settings, objects } = bus;
  const { version, hasAdmin = false } = options;
  if (hasAdmin) log.warn({ port: options.port }, "The admin namespace is on: whoever reaches this port can move accounts");
  const { callGasMax, sealMsMax } = limits;
  const shared = { chain, view, engine, recent, settings, objects, version, callGasMax, sealMsMax, load };
  const backend: Backend = { ...shared, ...untraced };
  const backendOf = (headers: Headers): Backend => (telemetry.on ? { ...shared, ...readers(headers) } : backend);
  const countCalls = callCounter(telemetry);
  const calls = callRunner(methodsOf(hasAdmin), backendOf, telemetry, countCalls, limits);
  const sends = { backendOf, view, engine, submitter, recent, waits, calls, countCalls };
  const rate = rateLimit(limits.callsPerSecondMax);
  const gateway = makeGateway({ ingest, calls, sends, rate, telemetry }, limits);
  const binary = makeBinary({ backendOf, view, engine, ingest, submitter, recent, streams, rate, telemetry, countCalls }, limits);
  const readiness = () => readinessOf(view, load());
  const http = await serveHttp({ gateway, binary }, limits, { ...options, readiness, log });
  const probes = await serveHealth(options.healthPort, readiness);
  observe(telemetry, view, ingest, http.connections);
  return {
    port: http.port,
    chain,
    stop: async () => {
      await http.close();
      await probes?.close();
      view.stop();
      await ingest.close();
    },
  };
}

function callCounter(telemetry: Telemetry): CountCalls {
  const count = telemetry.counter("meridian.gateway.calls", "{call}", "Calls by method and error code, 0 for success");
  return (method, code, calls) => count(calls, { method, code });
}

/** Ready: a leader is heard, so that transactions find their way and `latest` moves. */
function readinessOf(view: ChainView, load: Record<string, number>): Readiness {
  const term = view.leaderTerm();
  return { isReady: term !== null, facts: { term, latest: view.latest()?.number ?? null, ...load } };
}

function observe(telemetry: Telemetry, view: ChainView, ingest: Ingest, connections: () => number): void {
  const gauge = (name: string, unit: string, description: string, value: () => number) =>
    telemetry.gauge(`meridian.gateway.${name}`, unit, description, () => [{ value: value() }]);
  gauge("decode.waiting", "{request}", "Bodies that wait for a worker or are decoded", () => ingest.queued());
  gauge("connections", "{connection}", "Open connections", connections);
  gauge("latest", "{block}", "Number of the last sealed block", () => view.latest()?.number ?? 0);
  gauge("beat.age", "ms", "Since the leader's last beat", () => Math.min(view.silentMs(), Number.MAX_SAFE_INTEGER));
}

export { startWorkerPool } from "./ingest/worker-pool.ts";
export type { Ingest, WorkerPoolOptions } from "./ingest/worker-pool.ts";
export { LIMITS } from "./limits.ts";
export type { Limits } from "./limits.ts";
