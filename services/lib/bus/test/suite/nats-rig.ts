import { assert } from "@meridian/core";
import type { Bus } from "@meridian/core";
import { testNatsServer } from "@meridian/nats-server/testing";
import { jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { connectBus } from "../../src/index.ts";
import type { StreamName } from "../../src/index.ts";
import { Proxy } from "./proxy.ts";
import { until } from "./rig.ts";
import type { Rig } from "./rig.ts";

const PLANT_MS = 5_000;

/** Every bus has a proxy of its own; `admin` goes around them. */
interface Open {
  bus: Bus;
  proxy: Proxy;
}

/** The rig over a real nats-server. */
export async function natsRig(): Promise<Rig> {
  const server = await testNatsServer();
  const open: Open[] = [];
  let admin: NatsConnection = await connect({ servers: server.url });
  let manager: JetStreamManager = await jetstreamManager(admin);
  const lastSequence = async (stream: StreamName) => (await manager.streams.info(stream)).state.last_seq;
  const proxyOf = (bus: Bus): Proxy => {
    const found = open.find((one) => one.bus === bus)?.proxy;
    assert(found !== undefined, "a bus of another rig");
    return found;
  };
  const update = async (stream: StreamName, change: (config: StreamConfig, bytes: number) => Partial<StreamConfig>) => {
    const { config, state } = await manager.streams.info(stream);
    await manager.streams.update(stream, change(config, state.bytes));
  };
  return {
    connect: async () => {
      const proxy = new Proxy(server.url);
      await proxy.listen();
      const bus = await connectBus({ url: proxy.url, name: `test ${open.length}`, durability: "process" });
      open.push({ bus, proxy });
      return bus;
    },
    plant: async (_stream, subject, payload, plain = {}) => {
      const own = headers();
      for (const [name, value] of Object.entries(plain)) own.set(name, value);
      await admin.request(subject, payload, { timeout: PLANT_MS, headers: own });
    },
    erase: async (stream, sequence) => {
      await manager.streams.deleteMessage(stream, sequence);
    },
    full: (stream, isFull) => update(stream, (_config, bytes) => ({ max_bytes: isFull ? bytes : -1 })),
    loseAnswer: (bus, stream, landed) => {
      const proxy = proxyOf(bus);
      const match = `PUB ${stream.toLowerCase()}.`;
      if (!landed) return proxy.dropNext(match);
      const before = lastSequence(stream);
      proxy.loseAnswer(match, async () => {
        const sequence = await before;
        // A stream that is gone means that the test is over.
        await until("the store", async () => (await lastSequence(stream).catch(() => Infinity)) > sequence);
      });
    },
    hold: (bus, stream) => proxyOf(bus).hold(`PUB ${stream.toLowerCase()}.`),
    crash: async () => {
      await admin.close();
      await server.kill("SIGKILL");
      await server.restart();
      admin = await connect({ servers: server.url });
      manager = await jetstreamManager(admin);
    },
    reset: async () => {
      for (const { bus, proxy } of open.splice(0)) {
        await bus.close();
        await proxy.close();
      }
      for (const { config } of await manager.streams.list().next()) await manager.streams.delete(config.name);
    },
    close: async () => {
      await admin.close();
      await server.stop();
    },
  };
}
