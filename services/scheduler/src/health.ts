/** GET /healthz: the process answers. GET /readyz: it leads, or stands by for whoever does. Both say the role in JSON. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { SchedulerStatus } from "./run.ts";

export interface Health {
  readonly port: number;
  close(): Promise<void>;
}

/** A probe is one short line; anything that sends slowly is let go. */
const HEADERS_MS_MAX = 2_000;

/** @param port 0 for any free one */
export async function serveHealth(port: number, hostname: string, status: () => SchedulerStatus): Promise<Health> {
  const server = createServer({ headersTimeout: HEADERS_MS_MAX, requestTimeout: HEADERS_MS_MAX }, (request, response) => {
    const path = request.url?.split("?")[0];
    if (path !== "/healthz" && path !== "/readyz") return void response.writeHead(404).end();
    const now = status();
    const isGood = path === "/healthz" || now.role === "leader" || now.role === "standby";
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
