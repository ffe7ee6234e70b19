/** A gateway in front of a fake chain, and the calls that tests make to it. */
import { assert, noTelemetry } from "@meridian/core";
import type { EngineModule, Logger, Telemetry } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { parseGwei } from "viem";
import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { decodePart, joinParts } from "../src/binary/decode-part.ts";
import { ingest } from "../src/ingest/ingest.ts";
import type { Ingest } from "../src/ingest/worker-pool.ts";
import type { Limits } from "../src/limits.ts";
import { runGateway } from "../src/run.ts";
import type { GatewayRunOptions, RunningGateway } from "../src/run.ts";
import { CHAIN_ID, FakeChain } from "./fake-chain.ts";

export const engine: EngineModule = loadEngine("auto");

const keyOf = (seed: number): Hex => `0x${seed.toString(16).padStart(64, "0")}`;
/** Accounts with keys 1, 2, …; the first three have 10^18 wei each. */
export const accounts = Array.from({ length: 8 }, (_, index) => privateKeyToAccount(keyOf(index + 1)));
export const alice = accounts[0]!;
export const bob = accounts[1]!;
export const carol = accounts[2]!;
/** Has nothing. */
export const dave = accounts[3]!;
export const WEALTH = 10n ** 18n;

export interface RpcAnswer {
  jsonrpc: "2.0";
  id: unknown;
  result?: unknown;
  error?: { code: number; message: string; data?: string };
}

export interface Rig {
  chain: FakeChain;
  gateway: RunningGateway;
  url: string;
  /** Lines of level error that the gateway logged. */
  errors: Record<string, unknown>[];
  post(body: unknown, headers?: Record<string, string>): Promise<Response>;
  /** One call's answer. */
  call(method: string, ...params: unknown[]): Promise<RpcAnswer>;
  result(method: string, ...params: unknown[]): Promise<unknown>;
  /** Sends transactions in one batch, so that they keep their order; their hashes. */
  sendAll(raws: readonly Hex[]): Promise<Hex[]>;
  stop(): Promise<void>;
}

export interface RigOptions extends Partial<GatewayRunOptions> {
  /** Nobody leads when the gateway starts. */
  isSilent?: boolean;
  /** Its workers have too much to do. */
  isBusy?: boolean;
  limits?: Partial<Limits>;
  telemetry?: Telemetry;
}

/** Times short enough for tests, long enough for a busy machine. */
const TEST_LIMITS: Partial<Limits> = {
  beatSilenceMsMax: 500,
  firstBeatMsMax: 500,
  submitMsMax: 1_500,
  submitAttemptMsMax: 400,
  readMsMax: 1_000,
  absentMsMax: 100,
  startMsMax: 1_000,
  stopMsMax: 500,
};

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const chain = await FakeChain.begin(engine, { [alice.address]: WEALTH, [bob.address]: WEALTH, [carol.address]: WEALTH });
  if (options.isSilent === true) chain.silence();
  const errors: Record<string, unknown>[] = [];
  const silent = () => undefined;
  const log: Logger = { debug: silent, info: silent, warn: silent, error: (facts) => errors.push(facts) };
  const gateway = await runGateway(
    {
      bus: chain.bus,
      engine,
      telemetry: options.telemetry ?? noTelemetry(log),
      startIngest: (limits): Promise<Ingest> =>
        Promise.resolve({
          run: (body) => Promise.resolve(ingest(body, engine, limits)),
          runParts: (parts) => Promise.resolve(joinParts(parts.map((part) => decodePart(part, engine, limits)))),
          isFull: () => options.isBusy === true,
          queued: () => 0,
          close: () => Promise.resolve(),
        }),
    },
    {
      host: "127.0.0.1",
      port: 0,
      healthPort: 0,
      origins: [],
      hosts: ["localhost"],
      version: "Meridian/test",
      ...options,
      limits: { ...TEST_LIMITS, ...options.limits },
    },
  );
  const url = `http://127.0.0.1:${gateway.port}/`;
  const post = (body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  const call = async (method: string, ...params: unknown[]): Promise<RpcAnswer> =>
    (await (await post({ jsonrpc: "2.0", id: 1, method, params })).json()) as RpcAnswer;
  const sendAll = async (raws: readonly Hex[]): Promise<Hex[]> => {
    const batch = raws.map((raw, id) => ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params: [raw] }));
    const answers = (await (await post(batch)).json()) as RpcAnswer[];
    return answers.map(({ result, error }) => {
      assert(error === undefined, String(error?.message));
      return result as Hex;
    });
  };
  return {
    chain,
    gateway,
    url,
    errors,
    post,
    call,
    sendAll,
    result: async (...args) => {
      const { result, error } = await call(...args);
      assert(error === undefined, `${args[0]}: ${error?.message}`);
      return result;
    },
    stop: async () => {
      await gateway.stop();
      await chain.stop();
    },
  };
}

/** A signed transaction: by default a type 2 call without value to bob. */
export function sign(fields: Record<string, unknown> = {}, account = alice): Promise<Hex> {
  const defaults = { type: "eip1559", chainId: CHAIN_ID, nonce: 0, to: bob.address, gas: 100_000n, maxFeePerGas: parseGwei("1") };
  return account.signTransaction({ ...defaults, ...fields } as Parameters<typeof account.signTransaction>[0]);
}
