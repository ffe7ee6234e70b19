/** A JSON-RPC client for load: keep-alive HTTP, batches, answers in the order of the calls. */
import { Agent, request } from "node:http";
import { IoError } from "@meridian/core";

export interface RpcError {
  code: number;
  message: string;
  data?: unknown;
}
export type RpcAnswer = { result: unknown } | { error: RpcError };
export interface RpcCall {
  method: string;
  params: unknown[];
}

const SOCKETS_MAX = 64;
const TIMEOUT_MS = 30_000;
const SHOWN_CHARACTERS_MAX = 300;

export class RpcClient {
  readonly url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX });
  readonly #timeoutMs: number;

  constructor(url: string, timeoutMs = TIMEOUT_MS) {
    this.url = url;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws IoError RPC_ERROR if the answer is an error; RPC_TRANSPORT if there is no answer */
  async call<Result = unknown>(method: string, ...params: unknown[]): Promise<Result> {
    const [answer] = await this.batch([{ method, params }]);
    if (answer !== undefined && "result" in answer) return answer.result as Result;
    const { code: rpcCode, message } = answer?.error ?? { code: 0, message: "no answer" };
    throw new IoError({ code: "RPC_ERROR", method, rpcCode, message }, "never");
  }

  /** @throws IoError RPC_TRANSPORT if the batch as a whole is not answered */
  async batch(calls: readonly RpcCall[]): Promise<RpcAnswer[]> {
    const bodies = calls.map(({ method, params }, id) => JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    return this.batchText(`[${bodies.join(",")}]`, calls.length);
  }

  /** A prepared batch: JSON text whose ids are 0 to `count` - 1. */
  async batchText(body: string, count: number): Promise<RpcAnswer[]> {
    const text = await this.post(body);
    const parsed = parse(text);
    const answers: RpcAnswer[] = [];
    if (Array.isArray(parsed)) for (const answer of parsed as (RpcAnswer & { id: number })[]) answers[answer.id] = answer;
    if (answers.length === count && !answers.includes(undefined as never)) return answers;
    throw new IoError(
      { code: "RPC_TRANSPORT", text: `${count} calls are not answered: ${text.slice(0, SHOWN_CHARACTERS_MAX)}` },
      "later",
    );
  }

  /** Posts a body as it is. @returns the body of the answer */
  post(body: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error) =>
        reject(new IoError({ code: "RPC_TRANSPORT", text: `${this.url}: ${error.message}` }, "later", error));
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const outgoing = request(
        this.url,
        { method: "POST", agent: this.#agent, headers, timeout: this.#timeoutMs },
        (incoming) => {
          const parts: Buffer[] = [];
          incoming.on("data", (part: Buffer) => parts.push(part));
          incoming.on("end", () => resolve(Buffer.concat(parts).toString("utf8")));
          incoming.on("error", fail);
        },
      );
      outgoing.on("error", fail);
      outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer within ${this.#timeoutMs} ms`)));
      outgoing.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // Not JSON: the caller shows the text.
  }
}
