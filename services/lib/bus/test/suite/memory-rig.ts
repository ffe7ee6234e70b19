import { assert } from "@meridian/core";
import { MemoryBus, memoryServer } from "../../src/index.ts";
import type { MemoryServer } from "../../src/index.ts";
import type { Rig } from "./rig.ts";

/** The rig over the server in memory. */
export function memoryRig(): Promise<Rig> {
  let server: MemoryServer = memoryServer();
  let buses: MemoryBus[] = [];
  const rig: Rig = {
    connect: () => {
      const bus = server.connect();
      buses.push(bus);
      return Promise.resolve(bus);
    },
    plant: (...message) => Promise.resolve(void server.faults.plant(...message)),
    erase: (stream, sequence) => Promise.resolve(server.faults.erase(stream, sequence)),
    full: (stream, isFull) => Promise.resolve(server.faults.full(stream, isFull ? "no room" : null)),
    loseAnswer: (_bus, stream, landed) => server.faults.loseAnswer(stream, { landed }),
    hold: (bus, stream) => {
      assert(bus instanceof MemoryBus, "a bus of another rig");
      return { held: Promise.resolve(), release: server.faults.hold(stream) };
    },
    crash: () => {
      for (const bus of buses) bus.disconnect();
      for (const bus of buses) bus.reconnect();
      return Promise.resolve();
    },
    reset: async () => {
      await Promise.all(buses.map((bus) => bus.close()));
      buses = [];
      server = memoryServer();
    },
    close: () => Promise.resolve(),
  };
  return Promise.resolve(rig);
}
