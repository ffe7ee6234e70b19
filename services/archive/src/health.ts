/** GET /healthz: the process answers. GET /readyz: it takes in what comes. Both say in JSON how far it is. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { ArchiveStatus } from "./state.ts";

export interface Health {
  readonly port: number;
  close(): Promise<void>;
}

/** A probe is one short line; anything that sends slowly is let go. */
const HEADERS_MS_MAX = 2_000;

/** @param port 0 for any free one */
export async function serveHealth(port: number, hostname: string, status: () => ArchiveStatus): Promise<Health> {
  const server = createServer({ headersTimeout: HEADERS_MS_MAX, requestTimeout: HEADERS_MS_MAX }, (request, response) => {
    const path = request.url?.split("?")[0];
    if (path !== "/healthz" && path !== "/readyz") return void response.writeHead(404).end();
    const now = status();
    const isGood = path === "/healthz" || now.phase === "running";
    response.writeHead(isGood ? 200 : 503, { "content-type": "application/json" }).end(JSON.stringify(now));
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, hostname, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
