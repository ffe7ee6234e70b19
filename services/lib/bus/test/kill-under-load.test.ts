/** Appends, reads and publishes while the server is killed again and again: what was acknowledged is there, once and in order. */
import type { Bus, LogWriter } from "@meridian/core";
import { assert } from "@meridian/core";
import type { RunningNatsServer } from "@meridian/nats-server";
import { testNatsServer } from "@meridian/nats-server/testing";
import { afterEach, expect, test } from "vitest";
import { connectBus } from "../src/index.ts";
import { PARTITIONS, START, append, outRecord, readLog, readOut, startLog, until } from "./suite/rig.ts";

const KILLS = 3;
const APPENDS_BETWEEN = 60;

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function busOf(server: RunningNatsServer, name: string): Promise<Bus> {
  const bus = await connectBus({ url: server.url, name, durability: "process" });
  ends.push(() => bus.close());
  return bus;
}

/** Appends to one log or to all. */
async function appendMany(writer: LogWriter, count: number): Promise<void> {
  for (let step = 0; step < count; step++) {
    const partitions = step % 3 === 0 ? [0] : PARTITIONS;
    const { outcome } = await writer.append(
      writer.flush + 1,
      partitions.map((partition) => append(partition, step, 5_000)),
    );
    assert(outcome === "appended", outcome);
  }
}

async function publishMany(bus: Bus, first: number, count: number): Promise<void> {
  for (let n = first; n < first + count; n++) await bus.out.publish(0, [outRecord(n, 2_000)]);
}

test("three kills under load", async () => {
  const server = await testNatsServer();
  ends.push(() => server.stop());
  const [leader, owner, reader] = [await busOf(server, "leader"), await busOf(server, "owner"), await busOf(server, "reader")];
  const writer = await startLog(leader);
  const total = (KILLS + 1) * APPENDS_BETWEEN;
  const reading = readLog(reader, 0, START, 2 + total);
  const readingOut = readOut(reader, 0, total);
  const working = (async () => {
    for (let round = 0; round <= KILLS; round++) {
      await Promise.all([appendMany(writer, APPENDS_BETWEEN), publishMany(owner, round * APPENDS_BETWEEN + 1, APPENDS_BETWEEN)]);
    }
  })();
  const killing = (async () => {
    for (let kill = 0; kill < KILLS; kill++) {
      const before = writer.flush;
      await until("more appends", () => writer.flush >= before + APPENDS_BETWEEN / 2);
      await server.kill("SIGKILL");
      await server.restart();
    }
  })();
  await Promise.all([working, killing]);
  const messages = await reading;
  expect(messages.map(({ message }) => message.n)).toEqual(messages.map((_, index) => index + 1));
  expect(messages.at(-1)?.position).toEqual(writer.position(0));
  const records = (await readingOut).flatMap((batch) => batch.records.map(({ n }) => n));
  expect(records).toEqual(records.map((_, index) => index + 1));
  expect(records.length).toBe(total);
  for (const partition of [1, 2]) {
    expect((await leader.log.readToEnd(partition, 1)).at(-1)?.n).toBe(writer.position(partition).n);
  }
});
