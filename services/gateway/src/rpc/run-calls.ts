/** Runs calls: looks the method up, bounds the answer, turns what was thrown into an error for the client. */
import type { Headers, IoError, Telemetry } from "@meridian/core";
import { isIoError } from "@meridian/core";
import type { Backend, Context, Method } from "../methods/method.ts";
import type { Sealed } from "../chain/view.ts";
import { answerText, errorText } from "./envelope.ts";
import type { Call, Item } from "./envelope.ts";
import { internalError, methodNotFound, refused, responseTooLarge } from "./errors.ts";
import type { Answer, RpcError } from "./errors.ts";

export interface CallLimits {
  batchCallsMax: number;
  responseBytesMax: number;
  firstBeatMsMax: number;
}

/** Counts one or more calls of a method that ended in the same way; code 0 for success. */
export type CountCalls = (method: string, code: number, count: number) => void;

export interface CallRunner {
  /**
   * Answers of the items in order, "" where there is none. All of them mean the same block by `latest`.
   * @param headers  trace context of the request, for what is asked for it
   */
  run(items: readonly Item[], headers: Headers): Promise<string[]>;
}

/** @param backendOf  what one request's calls share */
export function callRunner(
  methods: ReadonlyMap<string, Method>,
  backendOf: (headers: Headers) => Backend,
  telemetry: Telemetry,
  countCalls: CountCalls,
  limits: CallLimits,
): CallRunner {
  const { view } = backendOf({});
  /** Pins `latest`; before the first beat, waits for it. */
  const pinned = async (): Promise<Sealed | null> => {
    const deadlineAt = performance.now() + limits.firstBeatMsMax;
    for (;;) {
      const latest = view.latest();
      if (latest !== null || !(await view.nextBeat(deadlineAt))) return latest;
    }
  };

  const runMethod = async (
    method: Method,
    params: unknown,
    backend: Backend,
    latest: () => Promise<Sealed | null>,
  ): Promise<Answer> => {
    try {
      if (!method.needsLatest) return await method.run(params, backend);
      const sealed = await latest();
      if (sealed === null) return { error: refused("no block is known yet: no scheduler leads") };
      const context: Context = { ...backend, latest: sealed };
      return await method.run(params, context);
    } catch (error) {
      if (isIoError(error)) return { error: unavailable(error) };
      telemetry.log.error({ error: String(error), stack: error instanceof Error ? error.stack : undefined }, "A call met a bug.");
      return { error: internalError };
    }
  };

  const runCall = async (
    { idText, method: name, params }: Call,
    backend: Backend,
    latest: () => Promise<Sealed | null>,
  ): Promise<string> => {
    const method = methods.get(name);
    const answer = method === undefined ? { error: methodNotFound(name) } : await runMethod(method, params, backend, latest);
    const text = idText === null ? "" : answerText(idText, answer);
    const isTooLarge = idText !== null && text.length > limits.responseBytesMax;
    const error = isTooLarge ? responseTooLarge : "error" in answer ? answer.error : null;
    countCalls(method === undefined ? "unknown" : name, error?.code ?? 0, 1);
    return isTooLarge ? errorText(idText, responseTooLarge) : text;
  };

  return {
    run: async (items, headers) => {
      const backend = backendOf(headers);
      let isPinned: Promise<Sealed | null> | undefined;
      const latest = () => (isPinned ??= pinned());
      const texts: string[] = items.map(() => "");
      let [next, bytes] = [0, 0];
      const work = async (): Promise<void> => {
        for (let index = next++; index < items.length; index = next++) {
          const item = items[index]!;
          if ("error" in item) countCalls("unknown", item.error.code, 1);
          texts[index] = await answerItem(item, bytes > limits.responseBytesMax, (call) => runCall(call, backend, latest));
          bytes += texts[index]!.length;
        }
      };
      await Promise.all(Array.from({ length: Math.min(limits.batchCallsMax, items.length) }, work));
      return texts;
    },
  };
}

async function answerItem(item: Item, isFull: boolean, runCall: (call: Call) => Promise<string>): Promise<string> {
  if ("error" in item) return errorText(item.idText, item.error);
  if (!isFull) return runCall(item.call);
  return item.call.idText === null ? "" : errorText(item.call.idText, responseTooLarge);
}

/** What the client sees when a partition, an archive or NATS did not answer. */
function unavailable({ detail }: IoError): RpcError {
  switch (detail.code) {
    case "NO_RESPONDERS":
      return refused("what this call needs is not running at the moment: ask again");
    case "TIMEOUT":
      return refused("what this call needs did not answer in time: ask again");
    default:
      return refused(`what this call needs cannot be reached (${detail.code}): ask again`);
  }
}
