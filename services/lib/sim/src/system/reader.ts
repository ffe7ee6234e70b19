/** A wallet that calls contracts at the last sealed block; what it is told is compared with the serial replay afterwards. */
import { SUBJECT, decodeBeat, decodeReadReply, encodeReadRequest } from "@meridian/bus";
import { isIoError } from "@meridian/core";
import type { CallRequest, RangeIndex, Wire } from "@meridian/core";
import type { SeenCall } from "../checks/serial.ts";
import { packScript } from "../contracts/player.ts";
import type { SimProcess } from "../kernel/process.ts";
import type { Random } from "../kernel/random.ts";
import type { Trace } from "../kernel/trace.ts";
import type { World } from "../world/world.ts";

const REQUEST_MS_MAX = 250;
const GAS_LIMIT = 3_000_000;

/** @returns what was answered, growing while the run goes on */
export function startReader(
  process: SimProcess,
  wire: Wire,
  { random, trace }: { random: Random; trace: Trace },
  world: World,
  { count, untilMs }: { count: number; untilMs: number },
): SeenCall[] {
  const seen: SeenCall[] = [];
  let latest = 0;
  wire.subscribe(SUBJECT.beat, ({ payload }) => (latest = Math.max(latest, decodeBeat(payload).latest.number)));
  const read = async (): Promise<void> => {
    const to = world.scripts.contract();
    const request: CallRequest = {
      ...{ from: random.pick(world.senders), to, data: packScript(world.scripts.script(to)), value: new Uint8Array(32) },
      ...{ gasLimit: GAS_LIMIT, accessList: new Uint8Array(0), given: new Uint8Array(0), traced: false },
    };
    const block = latest;
    try {
      const payload = encodeReadRequest({ op: "call", block, atN: 0, call: request });
      const reply = decodeReadReply(
        await wire.request(SUBJECT.read(owner(world.owners, to)), payload, { timeoutMs: REQUEST_MS_MAX }),
      );
      trace.line(process.name, () => `call at block ${block}: ${reply.op === "failed" ? reply.failure.code : reply.op}`);
      // Where a partition has not read a seal yet, a hash is not known there; whoever asked asks again.
      if (reply.op === "call" && reply.result.status !== "unsealed") seen.push({ block, request, result: reply.result });
    } catch (error) {
      if (!isIoError(error)) throw error;
      trace.line(process.name, () => `no answer: ${error.detail.code}`);
    }
  };
  for (let left = count; left > 0; left--) process.clock.after(random.float() * untilMs, () => void read());
  return seen;
}

const owner = (owners: RangeIndex, address: Uint8Array): number => owners.ownerOf(address, 0);
