/** Probes of a process over HTTP: GET /healthz, it answers; GET /readyz, it does its work. Both give the facts as JSON. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Health {
  readonly port: number;
  close(): Promise<void>;
}

export interface Readiness {
  isReady: boolean;
  /** What this process says of itself; the body of both answers. */
  facts: unknown;
}

/** A probe is one short line; anything that sends slowly is let go. */
const HEADERS_MS_MAX = 2_000;
const HOST = "0.0.0.0"; // Probes come from outside of the pod.

/**
 * @param port  0 for none
 * @returns null if there is none
 * @throws  the system's error if the port cannot be had
 */
export async function serveHealth(port: number, readiness: () => Readiness): Promise<Health | null> {
  return port === 0 ? null : listenForProbes(port, HOST, readiness);
}

/** @param port 0 for any free one */
export async function listenForProbes(port: number, host: string, readiness: () => Readiness): Promise<Health> {
  const server = createServer({ headersTimeout: HEADERS_MS_MAX, requestTimeout: HEADERS_MS_MAX }, (request, response) => {
    const path = request.url?.split("?")[0];
    if (path !== "/healthz" && path !== "/readyz") return void response.writeHead(404).end();
    const { isReady, facts } = readiness();
    const isGood = path === "/healthz" || isReady;
    response.writeHead(isGood ? 200 : 503, { "content-type": "application/json" }).end(`${JSON.stringify(facts)}\n`);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
