/**
 * JSON-RPC over HTTP/1.1. Node's own server without a framework: two paths need no router, and a small request
 * takes 28 us with it, 36 us with fastify (docs/adr/0010-gateway-errors-and-limits.md). Bodies go straight into the buffer
 * that a worker gets. One more path takes transactions in MessagePack (docs/BINARY-API.md).
 */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "@meridian/core";
import type { Readiness } from "@meridian/process";
import { TRANSACTIONS_PATH } from "../binary/transactions.ts";
import type { Binary } from "../binary/transactions.ts";
import type { Gateway } from "../gateway.ts";
import type { Limits } from "../limits.ts";
import { corsHeaders, isHostAllowed, preflightHeaders } from "./access.ts";
import { answerBinary } from "./binary.ts";
import { mediaType, readBytes, traceHeaders } from "./request.ts";

export interface HttpOptions {
  host: string;
  /** 0 for any free one. */
  port: number;
  origins: readonly string[];
  hosts: readonly string[];
  readiness: () => Readiness;
  log: Logger;
}

export interface HttpServer {
  readonly port: number;
  readonly connections: () => number;
  /** Lets requests in progress end, at most `stopMsMax`. */
  close(): Promise<void>;
}

const CONTENT_TYPES = ["application/json", "application/json-rpc", "application/jsonrequest"];
const HINT = `Meridian answers Ethereum JSON-RPC here: POST application/json, for example eth_chainId.
Many transactions at once: POST application/msgpack to ${TRANSACTIONS_PATH}.
`;

/** What answers a POST, by its path. */
export interface Answerers {
  gateway: Gateway;
  binary: Binary;
}

export async function serveHttp(answerers: Answerers, limits: Limits, options: HttpOptions): Promise<HttpServer> {
  let connections = 0;
  const server = createServer(
    { requestTimeout: limits.requestMsMax, headersTimeout: limits.headersMsMax, keepAliveTimeout: limits.idleMsMax },
    (request, response) => {
      handle(request, response, answerers, limits, options).catch((error: unknown) => {
        // A client that went away in the middle of its body is nothing to report.
        if (!request.destroyed) options.log.error({ error: String(error) }, "A request failed.");
        response.destroy();
      });
    },
  );
  server.maxConnections = limits.connectionsMax;
  server.on("connection", (socket) => {
    connections++;
    socket.setNoDelay(true).on("close", () => connections--);
  });
  await listen(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    close: () => closeServer(server, limits.stopMsMax),
  };
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function closeServer(server: Server, msMax: number): Promise<void> {
  const timer = setTimeout(() => server.closeAllConnections(), msMax);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(timer);
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  { gateway, binary }: Answerers,
  limits: Limits,
  options: HttpOptions,
): Promise<void> {
  const path = request.url?.split("?")[0];
  if (path === "/healthz" || path === "/readyz") return answerProbe(path, response, options.readiness);
  if (!isHostAllowed(request.headers.host, options.hosts)) return refuse(request, response, 403, "invalid host specified");
  for (const [name, value] of Object.entries(corsHeaders(request.headers.origin, options.origins)))
    response.setHeader(name, value);
  switch (request.method) {
    case "OPTIONS":
      response.writeHead(204, preflightHeaders(request.headers["access-control-request-headers"])).end();
      return;
    case "GET":
    case "HEAD":
      return plain(response, 200, HINT);
    case "POST":
      if (path === TRANSACTIONS_PATH) return answerBinary(request, response, binary, limits.binaryBytesMax);
      return answerPost(request, response, gateway, limits);
    default:
      return refuse(request, response, 405, "method not allowed");
  }
}

async function answerPost(request: IncomingMessage, response: ServerResponse, gateway: Gateway, limits: Limits): Promise<void> {
  const type = mediaType(request);
  if (type === undefined || !CONTENT_TYPES.includes(type)) {
    return refuse(request, response, 415, "invalid content type, only application/json is supported");
  }
  const body = await readBytes(request, limits.bodyBytesMax);
  if (typeof body === "string") return refuse(request, response, 413, body);
  const client = request.socket.remoteAddress ?? "unknown";
  const answer = await gateway.answer(body, client, traceHeaders(request));
  const bytes = typeof answer.body === "string" ? Buffer.from(answer.body, "utf8") : answer.body;
  const retry = answer.status === 429 ? { "retry-after": "1" } : {};
  response.writeHead(answer.status, { "content-type": "application/json", "content-length": bytes.length, ...retry });
  response.end(bytes);
}

function answerProbe(path: string, response: ServerResponse, readiness: () => Readiness): void {
  const { isReady, facts } = readiness();
  const isGood = path === "/healthz" || isReady;
  const body = Buffer.from(`${JSON.stringify(facts)}\n`);
  response.writeHead(isGood ? 200 : 503, { "content-type": "application/json", "content-length": body.length }).end(body);
}

/** Refuses without having read the body: what still comes in is of no use, so the connection ends. */
function refuse(request: IncomingMessage, response: ServerResponse, status: number, text: string): void {
  if (!request.complete) response.setHeader("connection", "close");
  plain(response, status, `${text}\n`);
}

function plain(response: ServerResponse, status: number, text: string): void {
  response
    .writeHead(status, { "content-type": "text/plain; charset=utf-8", "content-length": Buffer.byteLength(text) })
    .end(text);
}
