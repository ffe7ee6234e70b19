import { createServer } from "node:net";
import { IoError } from "@meridian/core";

/** Below the range that systems give to outgoing connections, where a listener could meet a connection's own end. */
const PORT_FIRST = 14_000;
const PORT_LAST = 31_999;
const TRIES_MAX = 50;

/** A port nobody listens on now. @throws IoError NO_FREE_PORT */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = PORT_FIRST + Math.floor(Math.random() * (PORT_LAST - PORT_FIRST + 1));
    if (await isPortFree(host, port)) return port;
  }
  throw new IoError({ code: "NO_FREE_PORT", text: `no free port from ${PORT_FIRST} to ${PORT_LAST}` }, "later");
}

export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
