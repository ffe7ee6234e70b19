/** Whoever runs the chain: asks the leader now and then to place an account on another partition, and back. */
import { SUBJECT, decodeAdminReply, encodeAdminRequest } from "@meridian/bus";
import { isIoError } from "@meridian/core";
import type { Wire } from "@meridian/core";
import { describeReply } from "../kernel/describe.ts";
import type { SimProcess } from "../kernel/process.ts";
import type { Random } from "../kernel/random.ts";
import type { Trace } from "../kernel/trace.ts";
import type { World } from "../world/world.ts";

const REQUEST_MS_MAX = 250;

/** Asks `count` times until `untilMs`. */
export function startMover(
  process: SimProcess,
  wire: Wire,
  { random, trace }: { random: Random; trace: Trace },
  { partitions, contracts, senders }: World,
  { count, untilMs }: { count: number; untilMs: number },
): void {
  const move = async (): Promise<void> => {
    const address = random.pick([...contracts, ...senders]);
    const partition = random.chance(0.8) ? random.below(partitions) : null;
    const payload = encodeAdminRequest({ op: "pin", address, partition });
    try {
      const reply = await wire.request(SUBJECT.admin, payload, { timeoutMs: REQUEST_MS_MAX });
      trace.event(process.name, decodeAdminReply(reply).op, 0);
      trace.line(process.name, () => `${Buffer.from(address).toString("hex", 0, 2)} to ${partition}: ${describeReply(reply)}`);
    } catch (error) {
      if (!isIoError(error)) throw error;
      trace.line(process.name, () => `no answer: ${error.detail.code}`);
    }
  };
  for (let left = count; left > 0; left--) process.clock.after(random.float() * untilMs, () => void move());
}
