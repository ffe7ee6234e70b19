/**
 * The server and the wire of a run, and the buses that its processes have. The server itself never fails: what fails are the ways
 * to it. It keeps a copy of everything that was ever stored, for the checks: logs are truncated while a run goes on.
 */
import { memoryServer } from "@meridian/bus";
import type { MemoryBus, MemoryServer } from "@meridian/bus";
import type { Bus } from "@meridian/core";
import { describeLog, describeOut } from "./describe.ts";
import type { SimProcess } from "./process.ts";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./time.ts";
import type { Trace } from "./trace.ts";
import { SimWire } from "./wire.ts";
import type { Weather } from "./wire.ts";

/** A message of LOG or OUT as it was stored. */
export interface Kept {
  stream: "LOG" | "OUT";
  sequence: number;
  subject: string;
  payload: Uint8Array;
  headers: Record<string, string>;
  atMs: number;
}

/** How long a writer tries an append or publish of unknown outcome, and waits for the answer to each try. */
const STORE_MS_MAX = 1_500;
const STORE_TRY_MS = 150;
/** A request to the server takes at least this long each way, so that between any two of them others may come. */
const WAY_MS_MIN = 0.02;

export class Network {
  readonly server: MemoryServer;
  readonly wire: SimWire;
  readonly kept: Kept[] = [];
  /** Every object that was ever put; their names say what is in them. */
  readonly objects = new Map<string, Uint8Array>();
  readonly #buses = new Map<SimProcess, MemoryBus>();
  readonly #time: VirtualTime;
  readonly #trace: Trace;
  /** Called once, when the next store meets a fault. */
  onStoreFault: (() => void) | null = null;
  /** Called once, when somebody sends the next append. */
  onAppend: (() => void) | null = null;
  /** Usual time of a request to the server, one way. */
  serverMs = 0.5;
  /** The server is three: those that are asked for messages lag behind the one that stores them by up to this much. */
  replicaMs = 0;

  constructor(time: VirtualTime, random: Random, trace: Trace, weather: Weather) {
    this.#time = time;
    this.#trace = trace;
    this.server = memoryServer({ clock: time });
    const stillMs = () => Math.max(0, this.wire.stillUntilMs - time.now());
    this.server.faults.delayMs = () => stillMs() + WAY_MS_MIN + random.float() * this.serverMs;
    this.server.faults.replicaEnd = (stream) =>
      this.replicaMs === 0 ? Infinity : this.#endAt(stream, time.now() - random.float() * this.replicaMs);
    const { objects } = this.server;
    const put = objects.set.bind(objects);
    objects.set = (name, bytes) => {
      this.objects.set(name, bytes);
      return put(name, bytes);
    };
    const { faults } = this.server;
    const take = faults.takeStoreFault.bind(faults);
    faults.takeStoreFault = (stream) => {
      const fault = take(stream);
      const { onStoreFault, onAppend } = this;
      if (stream === "LOG") this.onAppend = null;
      if (stream === "LOG") onAppend?.();
      if (fault !== undefined) this.onStoreFault = null;
      if (fault !== undefined) onStoreFault?.();
      return fault;
    };
    this.wire = new SimWire(time, random, trace, weather);
    for (const name of ["LOG", "OUT"] as const) this.server.streams[name].onStore(() => this.#keep(name));
  }

  /** Last sequence of a stream at a moment. */
  #endAt(wanted: "LOG" | "OUT", moment: number): number {
    return this.kept.findLast(({ stream, atMs }) => stream === wanted && atMs <= moment)?.sequence ?? 0;
  }

  #keep(stream: "LOG" | "OUT"): void {
    const from = this.server.streams[stream].lastSequence;
    const message = this.server.streams[stream].at(from);
    if (message === undefined) return;
    this.#trace.event(stream, message.subject, message.sequence, message.payload);
    this.#trace.line(stream, () => (stream === "LOG" ? describeLog(message.payload) : describeOut(message.payload)));
    this.kept.push({ ...message, stream, atMs: this.#time.now() });
  }

  /** Planted bug: LOG takes an append whatever it expects to stand before it. */
  dropFence(): void {
    const log = this.server.streams.LOG;
    const store = log.store.bind(log);
    log.store = (messages) => store(messages, { lastSequence: log.lastSequence });
  }

  /** A bus for a process that starts. */
  connect(process: SimProcess): Bus {
    const memory = this.server.connect({
      ...{ clock: process.clock, appendMsMax: STORE_MS_MAX, publishMsMax: STORE_MS_MAX, storeTryMs: STORE_TRY_MS },
    });
    this.#buses.set(process, memory);
    if (this.wire.isDown) memory.disconnect();
    return {
      log: memory.log,
      out: memory.out,
      settings: memory.settings,
      objects: memory.objects,
      wire: this.wire.connect(process),
      closed: memory.closed,
      close: () => memory.close(),
    };
  }

  /** The process loses its connection, or has it again. */
  cut(process: SimProcess, isCut: boolean): void {
    if (isCut) {
      this.wire.cutOff.add(process);
      this.#buses.get(process)?.disconnect();
    } else {
      this.wire.cutOff.delete(process);
      if (!this.wire.isDown) this.#buses.get(process)?.reconnect();
    }
  }

  /** The server stands still: what it has, and what comes meanwhile, it deals with afterwards. */
  stop(ms: number): void {
    this.wire.stillUntilMs = Math.max(this.wire.stillUntilMs, this.#time.now() + ms);
  }

  /** The server is gone, with all connections and what was on its way; what it had stored it still has when it is back. */
  setDown(isDown: boolean): void {
    this.wire.isDown = isDown;
    for (const [process, bus] of this.#buses) {
      if (isDown) bus.disconnect();
      else if (!this.wire.cutOff.has(process)) bus.reconnect();
    }
  }

  drop(process: SimProcess): void {
    this.wire.drop(process);
    this.#buses.delete(process);
  }
}
