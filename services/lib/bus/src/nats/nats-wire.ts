import type { Headers, Logger, Wire, WireMessage } from "@meridian/core";
import type { Msg } from "@nats-io/nats-core";
import { guarded } from "../guarded.ts";
import { checkPayload, plainBytes } from "../payload.ts";
import type { Connection } from "./connection.ts";
import { fromNatsHeaders } from "./headers.ts";

/** Core NATS. While the connection is down nothing is sent: a beat or a report that is late is of no use. */
export class NatsWire implements Wire {
  readonly #connection: Connection;
  readonly #log: Logger;

  constructor(connection: Connection, log: Logger) {
    this.#connection = connection;
    this.#log = log;
  }

  publish(subject: string, payload: Uint8Array, headers?: Headers): void {
    checkPayload(subject, payload);
    this.#connection.publish(subject, payload, headers === undefined ? {} : { headers });
  }

  async request(subject: string, payload: Uint8Array, options: { timeoutMs: number; headers?: Headers }): Promise<Uint8Array> {
    checkPayload(subject, payload);
    return plainBytes((await this.#connection.request(subject, payload, options)).data);
  }

  subscribe(subject: string, handler: (message: WireMessage) => void, queue?: string): () => void {
    const handle = guarded(handler, ({ detail }) => this.#log.warn({ ...detail, subject }, "message dropped"));
    const subscription = this.#connection.nc.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, msg) => {
        if (error === null) handle(this.#message(msg));
        else this.#log.error({ subject, error: error.message }, "subscription ended");
      },
    });
    return () => subscription.unsubscribe();
  }

  #message(msg: Msg): WireMessage {
    let headers: Headers | undefined;
    return {
      subject: msg.subject,
      payload: plainBytes(msg.data),
      get headers() {
        return (headers ??= fromNatsHeaders(msg.headers));
      },
      respond: (payload) => {
        checkPayload(msg.subject, payload);
        if (msg.reply !== undefined && msg.reply !== "") this.#connection.publish(msg.reply, payload);
      },
    };
  }
}
