/** What a JSON-RPC method is: its parameters, and what it does with them against the chain. */
import type { ChainSettings, EngineModule, Objects, Settings } from "@meridian/core";
import type { AskAdmin } from "../chain/admin.ts";
import type { Archive } from "../chain/archive.ts";
import type { State } from "../chain/state.ts";
import type { ChainView, Sealed } from "../chain/view.ts";
import type { Answer } from "../rpc/errors.ts";
import { parseParams } from "../rpc/params.ts";
import type { Param, ValuesOf } from "../rpc/params.ts";
import type { Recent } from "../submit/recent.ts";

/** What all calls share. */
export interface Backend {
  chain: ChainSettings;
  view: ChainView;
  state: State;
  archive: Archive;
  admin: AskAdmin;
  engine: EngineModule;
  recent: Recent;
  settings: Settings;
  objects: Objects;
  /** Text of web3_clientVersion. */
  version: string;
  /** Most gas that eth_call may use. */
  callGasMax: number;
  /** How long a call waits for a seal whose hash it asks for. */
  sealMsMax: number;
  /** Numbers of this process for meridian_status. */
  load: () => Record<string, number>;
}

/** One call's backend: `latest` is pinned when the request comes, so that its calls all mean the same block by it. */
export interface Context extends Backend {
  latest: Sealed;
}

/** A method answers by itself, or needs a block that `latest` means; then it waits for the first beat. */
export type Method =
  | { needsLatest: false; run: (params: unknown, backend: Backend) => Answer | Promise<Answer> }
  | { needsLatest: true; run: (params: unknown, context: Context) => Answer | Promise<Answer> };

/** A method whose parameters are checked before it runs. */
export function method<const P extends readonly Param<unknown>[]>(
  params: P,
  run: (context: Context, ...args: ValuesOf<P>) => Answer | Promise<Answer>,
): Method {
  return { needsLatest: true, run: checked(params, run) };
}

/** A method that can answer before the first beat. */
export function plainMethod<const P extends readonly Param<unknown>[]>(
  params: P,
  run: (backend: Backend, ...args: ValuesOf<P>) => Answer | Promise<Answer>,
): Method {
  return { needsLatest: false, run: checked(params, run) };
}

/** A method without parameters that answers at once from what is known. */
export const constant = (value: (backend: Backend) => unknown): Method =>
  plainMethod([], (backend) => ({ result: value(backend) }));

function checked<C, const P extends readonly Param<unknown>[]>(
  params: P,
  run: (context: C, ...args: ValuesOf<P>) => Answer | Promise<Answer>,
): (given: unknown, context: C) => Answer | Promise<Answer> {
  return (given, context) => {
    const parsed = parseParams(given, params);
    return "error" in parsed ? parsed : run(context, ...parsed.args);
  };
}
