/** A TCP proxy before a server, to lose answers and to stop messages on their way. */
import { createServer, connect } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

/** What happens to the next bytes from the client that hold `match`. */
interface Trap {
  match: string;
  spring(link: Link, chunk: Buffer): void;
}
interface Link {
  client: Socket;
  server: Socket;
  isSilent: boolean; // what the server says does not reach the client
  isSwallowing: boolean; // nor does the next thing it says
  held: Buffer[] | undefined; // what the client says waits here
}

export class Proxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #trap: Trap | undefined;
  url = "";

  constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#server = createServer((client) => {
      const server = connect({ host: hostname, port: Number(port) });
      const link: Link = { client, server, isSilent: false, isSwallowing: false, held: undefined };
      this.#links.add(link);
      const end = () => {
        client.destroy();
        server.destroy();
        this.#links.delete(link);
      };
      for (const socket of [client, server]) socket.on("error", end).on("close", end).setNoDelay(true);
      client.on("data", (chunk: Buffer) => this.#fromClient(link, chunk));
      server.on("data", (chunk: Buffer) => {
        if (!link.isSilent && !link.isSwallowing) client.write(chunk);
        link.isSwallowing = false;
      });
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.url = `nats://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Ends all connections. */
  cut(): void {
    for (const { client, server } of this.#links) {
      client.destroy();
      server.destroy();
    }
  }

  /** The next message that holds `match` does not arrive, and the connection is lost. */
  dropNext(match: string): void {
    this.#trap = { match, spring: (link) => link.client.destroy() };
  }

  /** The next message that holds `match` arrives, but no answer comes back; `isStored` tells when the connection may be lost. */
  loseAnswer(match: string, isStored: () => Promise<void>): void {
    this.#trap = {
      match,
      spring: (link, chunk) => {
        link.isSilent = true;
        link.server.write(chunk);
        void isStored().then(() => link.client.destroy());
      },
    };
  }

  /** The next message that holds `match` arrives, its answer is lost, and the connection stays. */
  swallowAnswer(match: string): void {
    this.#trap = {
      match,
      spring: (link, chunk) => {
        link.isSwallowing = true;
        link.server.write(chunk);
      },
    };
  }

  /** The next message that holds `match` and everything behind it waits until `release`. */
  hold(match: string): { held: Promise<void>; release(): void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    let stopped: Link | undefined;
    this.#trap = {
      match,
      spring: (link, chunk) => {
        link.held = [chunk];
        stopped = link;
        resolve();
      },
    };
    const release = () => {
      for (const chunk of stopped?.held ?? []) stopped?.server.write(chunk);
      if (stopped !== undefined) stopped.held = undefined;
    };
    return { held: promise, release };
  }

  #fromClient(link: Link, chunk: Buffer): void {
    const trap = this.#trap;
    if (link.held !== undefined) {
      link.held.push(chunk);
    } else if (trap !== undefined && chunk.includes(trap.match)) {
      this.#trap = undefined;
      trap.spring(link, chunk);
    } else {
      link.server.write(chunk);
    }
  }
}
