/** What only a real server can show: its durability, its configuration, its silence and its disk. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noTelemetry } from "@meridian/core";
import type { Bus, Durability } from "@meridian/core";
import { findNatsServer, startNatsServer } from "@meridian/nats-server";
import type { RunningNatsServer } from "@meridian/nats-server";
import { TEST_CACHE_FOLDER, testNatsServer } from "@meridian/nats-server/testing";
import { jetstreamManager } from "@nats-io/jetstream";
import type { StreamConfig } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterEach, describe, expect, test } from "vitest";
import { connectBus } from "../src/index.ts";
import type { ConnectOptions } from "../src/index.ts";
import { Proxy } from "./suite/proxy.ts";
import { append, appendMarks, codeOf, lead, markOf, readOut, outRecord, outRecords, startLog, until } from "./suite/rig.ts";

const MIB = 1024 * 1024;

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serverOf(durability: Durability = "process"): Promise<RunningNatsServer> {
  const server = await testNatsServer({ durability });
  ends.push(() => server.stop());
  return server;
}

async function busOf(server: { url: string }, options: Partial<ConnectOptions> = {}): Promise<Bus> {
  const bus = await connectBus({ url: server.url, name: "test", durability: "process", ...options });
  ends.push(() => bus.close());
  return bus;
}

async function proxyOf(server: { url: string }): Promise<Proxy> {
  const proxy = new Proxy(server.url);
  await proxy.listen();
  ends.push(() => proxy.close());
  return proxy;
}

describe("durability", () => {
  test.each<[what: string, server: Durability, configured: Durability, monitor: "right" | "wrong" | "none", want: string]>([
    ["a lazier server is refused", "process", "power", "right", "DURABILITY"],
    ["a durable server is taken", "power", "power", "right", "none"],
    ["a server that cannot be asked is refused", "power", "power", "wrong", "DURABILITY_UNKNOWN"],
    ["without a monitor named its usual port is asked", "power", "power", "none", "DURABILITY_UNKNOWN"],
    ["nobody asks if processes are all that may be lost", "process", "process", "wrong", "none"],
  ])("%s", async (_what, durability, configured, monitor, want) => {
    const server = await serverOf(durability);
    const monitorUrl = { right: server.monitorUrl, wrong: "http://127.0.0.1:9", none: undefined }[monitor];
    const options = { durability: configured, ...(monitorUrl === undefined ? {} : { monitorUrl }) };
    expect(await codeOf(busOf(server, options))).toBe(want);
  });

  test("another server's monitor does not speak for this one", async () => {
    const [server, other] = [await serverOf("process"), await serverOf("power")];
    expect(await codeOf(busOf(server, { durability: "power", monitorUrl: other.monitorUrl }))).toBe("DURABILITY_UNKNOWN");
  });

  test("a server that comes back lazier is left for good", async () => {
    const server = await serverOf("power");
    const bus = await busOf(server, { durability: "power", monitorUrl: server.monitorUrl });
    await server.restart({ durability: "process" });
    await bus.closed;
    expect(await codeOf(bus.log.tails())).toBe("CLOSED");
  });
});

describe("streams that are there already", () => {
  test.each<[field: string, config: Partial<StreamConfig>]>([
    ["subjects", { subjects: ["log.>"] }],
    ["storage", { storage: "memory" }],
    ["discard", { discard: "old" }],
    ["max_age", { max_age: 60_000_000_000 }],
    ["max_msgs_per_subject", { max_msgs_per_subject: 1 }],
    ["allow_atomic", { allow_atomic: false }],
    ["allow_direct", { allow_direct: false }],
  ])("LOG with another %s is refused", async (field, change) => {
    const server = await serverOf();
    const admin = await connect({ servers: server.url });
    ends.push(() => admin.close());
    const good = {
      subjects: ["log.*"],
      discard: "new" as const,
      storage: "file" as const,
      allow_atomic: true,
      allow_direct: true,
    };
    await (await jetstreamManager(admin)).streams.add({ name: "LOG", ...good, ...change });
    await expect(busOf(server)).rejects.toMatchObject({ detail: { code: "STREAM_WRONG", stream: "LOG", field } });
  });

  test("streams and buckets kept by another number of servers are taken, with a warning", async () => {
    const server = await serverOf();
    await busOf(server);
    const warned: unknown[] = [];
    const log = { ...noTelemetry().log, warn: (facts: Record<string, unknown>) => void warned.push(facts) };
    const bus = await busOf(server, { replicas: 3, log });
    await bus.objects.put("a", Uint8Array.of(1));
    expect(warned).toEqual(["LOG", "OUT"].map((stream) => ({ stream, replicas: 1, configured: 3 })));
  });

  test("several services may start at once; a size that is asked for is set", async () => {
    const server = await serverOf();
    await Promise.all([busOf(server), busOf(server), busOf(server)]);
    await busOf(server, { logBytesMax: 10_000_000 });
    const admin = await connect({ servers: server.url });
    ends.push(() => admin.close());
    expect((await (await jetstreamManager(admin)).streams.info("LOG")).config.max_bytes).toBe(10_000_000);
  });
});

describe("sizes", () => {
  const NAMES = ["LOG", "OUT", "OBJ_OBJECTS", "KV_SETTINGS"];

  async function adminOf(server: { url: string }) {
    const admin = await connect({ servers: server.url });
    ends.push(() => admin.close());
    const { streams } = await jetstreamManager(admin);
    const sizes = async () => Promise.all(NAMES.map(async (name) => (await streams.info(name)).config.max_bytes));
    return { streams, sizes };
  }

  async function smallServer(jetstreamBytesMax: number): Promise<RunningNatsServer> {
    const server = await testNatsServer({ jetstreamBytesMax });
    ends.push(() => server.stop());
    return server;
  }

  const isShareOf = (total: number, bytes: number): boolean => bytes <= total * 0.91 && bytes > total * 0.89;

  const sum = (sizes: number[]): number => sizes.reduce((total, bytes) => total + bytes, 0);

  test.each<[what: string, knows: boolean]>([
    ["with a monitor it is shared out", true],
    ["without one it is found by trying", false],
  ])("what the server has is the limit of the streams together: %s", async (_what, knows) => {
    const server = await smallServer(100 * MIB);
    await Promise.all([1, 2, 3].map(() => busOf(server, { monitorUrl: knows ? server.monitorUrl : "http://127.0.0.1:9" })));
    const sizes = await (await adminOf(server)).sizes();
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(MIB);
    expect(sum(sizes)).toBeLessThanOrEqual(100 * MIB);
    expect(sum(sizes)).toBeGreaterThan((knows ? 85 : 30) * MIB);
  });

  test("objects that are full leave LOG and OUT their room, and a full OUT leaves LOG its own", async () => {
    const server = await smallServer(48 * MIB);
    const bus = await busOf(server, { monitorUrl: server.monitorUrl });
    const writer = await startLog(bus);
    let objects = 0;
    while ((await codeOf(bus.objects.put(`object ${objects}`, new Uint8Array(MIB)))) === "none") objects++;
    expect(objects).toBeGreaterThan(4);
    let n = 0;
    while ((await codeOf(bus.out.publish(0, [outRecord(n + 1, MIB)]))) === "none") n++;
    expect(n).toBeGreaterThan(15);
    let flushes = 0;
    const appendBoth = () => writer.append(writer.flush + 1, [append(0, 1, MIB / 4), append(1, 1, MIB / 4)]);
    while ((await appendBoth()).outcome === "appended") flushes++;
    expect(flushes).toBeGreaterThan(25);
    expect(await appendBoth()).toMatchObject({ outcome: "full" });
    await server.restart({ jetstreamBytesMax: 100 * MIB });
    await until("room", async () => (await codeOf(bus.out.publish(0, [outRecord(n + 1, MIB)]))) === "none");
    await until("room", async () => (await appendBoth()).outcome === "appended");
    expect(await bus.out.lastN(0)).toBe(n + 1);
    expect(await bus.log.readToEnd(0, 3)).toHaveLength(flushes + 1);
  });

  test("they follow what the server has, up and down, and nothing is lost", async () => {
    const server = await smallServer(400 * MIB);
    const bus = await busOf(server, { monitorUrl: server.monitorUrl });
    const writer = await startLog(bus);
    for (let flush = 0; flush < 8; flush++) await writer.append(writer.flush + 1, [append(0, flush, MIB)]);
    const before = await (await adminOf(server)).sizes();
    for (const total of [370 * MIB, 800 * MIB]) {
      await server.restart({ jetstreamBytesMax: total });
      const { sizes } = await adminOf(server);
      await until("the sizes", async () => isShareOf(total, sum(await sizes())));
      expect(await writer.append(writer.flush + 1, [append(0, 1)])).toEqual({ outcome: "appended" });
    }
    const after = await (await adminOf(server)).sizes();
    expect(after.map((bytes, index) => bytes > (before[index] ?? 0))).toEqual([true, true, true, true]);
    expect(await bus.log.readToEnd(0, 3)).toHaveLength(10);
  });

  test("a server that comes back with less than is set aside is worked with, and it is said", async () => {
    const server = await smallServer(400 * MIB);
    const warned: unknown[] = [];
    const log = { ...noTelemetry().log, warn: (facts: Record<string, unknown>) => void warned.push(facts) };
    const bus = await busOf(server, { monitorUrl: server.monitorUrl, log });
    const writer = await startLog(bus);
    await server.restart({ jetstreamBytesMax: 40 * MIB });
    await until("the warnings", () => warned.some((facts) => (facts as { stream?: string }).stream === "LOG"));
    expect(await writer.append(writer.flush + 1, [append(0, 1)])).toEqual({ outcome: "appended" });
  });

  test("one that was set by hand stays, and the others take what is over", async () => {
    const server = await smallServer(200 * MIB);
    await busOf(server, { monitorUrl: server.monitorUrl });
    const { streams, sizes } = await adminOf(server);
    await streams.update("OUT", { ...(await streams.info("OUT")).config, max_bytes: 20 * MIB });
    await busOf(server, { monitorUrl: server.monitorUrl });
    const [log = 0, out] = await sizes();
    expect(out).toBe(20 * MIB);
    expect(log).toBeGreaterThan(100 * MIB);
    expect(sum(await sizes())).toBeLessThanOrEqual(200 * MIB);
  });
});

describe("a server that is silent or away", () => {
  test("the first connection is tried for a bounded time", async () => {
    const started = performance.now();
    expect(await codeOf(busOf({ url: "nats://127.0.0.1:9" }, { connectMsMax: 700 }))).toBe("UNREACHABLE");
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  test("an answer that never comes is resolved after the time of one try", async () => {
    const proxy = await proxyOf(await serverOf());
    const bus = await busOf(proxy);
    const writer = await startLog(bus);
    proxy.swallowAnswer("PUB log.");
    const outcome = writer.append(3, [append(0, 7), append(1, 7)]);
    expect(await outcome).toEqual({ outcome: "appended" });
    expect((await bus.log.readToEnd(0, 1)).map((message) => markOf({ message }))).toEqual([0, "term 1", 7]);
  });

  test("a batch that a full server gave no answer to is full as soon as the next one is", async () => {
    const server = await serverOf();
    const proxy = await proxyOf(server);
    const bus = await busOf(proxy);
    const writer = await startLog(bus);
    const admin = await connect({ servers: server.url });
    ends.push(() => admin.close());
    const { streams } = await jetstreamManager(admin);
    const { config, state } = await streams.info("LOG");
    await streams.update("LOG", { ...config, max_bytes: state.bytes });
    proxy.swallowAnswer("PUB log.");
    expect((await writer.append(3, [append(0, 7), append(1, 7)])).outcome).toBe("full");
    await streams.update("LOG", { ...config, max_bytes: -1 });
    expect(await writer.append(3, [append(0, 8), append(1, 8)])).toEqual({ outcome: "appended" });
    expect((await bus.log.readToEnd(0, 1)).map((message) => markOf({ message }))).toEqual([0, "term 1", 8]);
  });

  test("an append that cannot be settled ends the writer; while the connection is down requests fail at once", async () => {
    const server = await serverOf();
    const bus = await busOf(server, { appendMsMax: 300 });
    const writer = await startLog(bus);
    await server.kill("SIGKILL");
    expect(await codeOf(writer.append(3, [append(0, 1)]))).toBe("UNREACHABLE");
    expect(await codeOf(bus.wire.request("read.0", Uint8Array.of(1), { timeoutMs: 60_000 }))).toBe("UNREACHABLE");
    expect(await codeOf(writer.append(3, [append(0, 1)]))).toBe("WRITER_LOST");
    await server.restart();
    await until("the connection", async () => (await codeOf(bus.log.tails())) === "none");
    await appendMarks(await lead(bus, "again"), 1);
  });
});

/** A server whose files cannot grow beyond a size: what it meets is what it meets on a full disk, without filling one. */
async function crampedServer(storeFolder: string, blocks: number): Promise<RunningNatsServer> {
  const { path } = await findNatsServer({ cacheFolder: TEST_CACHE_FOLDER });
  const wrapper = join(storeFolder, "..", "cramped-nats-server");
  await writeFile(wrapper, `#!/bin/sh\nulimit -f ${blocks}\nexec "${path}" "$@"\n`);
  await chmod(wrapper, 0o755);
  return startNatsServer({ path: wrapper, storeFolder, durability: "power" });
}

test("a disk that takes no more: nothing acknowledged is lost, and a restarted server goes on", async () => {
  const folder = await mkdtemp(join(tmpdir(), "meridian-bus-"));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  const storeFolder = join(folder, "store");
  await mkdir(storeFolder);
  const cramped = await crampedServer(storeFolder, 2_048);
  const bus = await connectBus({ url: cramped.url, name: "test", durability: "process", appendMsMax: 1_000 });
  const writer = await startLog(bus);
  let acknowledged = 0;
  let code = "none";
  while (code === "none") {
    code = await codeOf(
      writer.append(writer.flush + 1, [append(0, acknowledged + 1, 50_000), append(1, acknowledged + 1, 50_000)]),
    );
    if (code === "none") acknowledged++;
  }
  expect(code).toBe("UNREACHABLE");
  expect(acknowledged).toBeGreaterThan(5);
  await bus.close();
  await cramped.stop();

  const { path } = await findNatsServer({ cacheFolder: TEST_CACHE_FOLDER });
  const roomy = await startNatsServer({ path, storeFolder, durability: "power" });
  ends.push(() => roomy.stop());
  const again = await busOf(roomy);
  const next = await lead(again, "again");
  for (const partition of [0, 1]) {
    const marks = (await again.log.readToEnd(partition, 3)).map((message) => markOf({ message }));
    // The last one may be there without having been acknowledged; it is in both logs or in none.
    expect(marks.slice(0, acknowledged)).toEqual(Array.from({ length: acknowledged }, (_, index) => (index + 1) % 256));
    expect(next.position(partition).n).toBe(next.position(1 - partition).n);
  }
  await appendMarks(next, 1);
  await again.out.publish(0, outRecords(1, 2));
  expect((await readOut(again, 0, 2)).length).toBeGreaterThan(0);
});

test("reading an object leaves nothing behind on the server", async () => {
  const server = await serverOf();
  const bus = await busOf(server);
  const large = new Uint8Array(3_000_000).map((_, index) => index % 251);
  await bus.objects.put("snapshot/0/1/000000", large);
  for (let read = 0; read < 5; read++) expect(await bus.objects.get("snapshot/0/1/000000")).toEqual(large);
  const nc = await connect({ servers: server.url });
  const { state } = await (await jetstreamManager(nc)).streams.info("OBJ_OBJECTS");
  await nc.close();
  expect(state.consumer_count).toBe(0);
});
