/** Who leads, from the scheduler's own beats. */
import { connectBus, decodeBeat, SUBJECT } from "@meridian/bus";
import { IoError } from "@meridian/core";

export interface LeaderWatch {
  /** Instance name of the leader that was heard last. @throws IoError NO_LEADER if none was heard within the wait */
  leader(msMax: number): Promise<string>;
  stop(): Promise<void>;
}

const POLL_MS = 50;
const FRESH_MS_MAX = 1_000;

export async function watchLeader(natsUrl: string): Promise<LeaderWatch> {
  const bus = await connectBus({ url: natsUrl, name: "chaos", durability: "process" });
  let heard = { leader: "", at: -Infinity };
  const unsubscribe = bus.wire.subscribe(SUBJECT.beat, ({ payload }) => {
    heard = { leader: decodeBeat(payload).leader, at: performance.now() };
  });
  return {
    async leader(msMax) {
      const endsAt = performance.now() + msMax;
      while (performance.now() - heard.at > FRESH_MS_MAX) {
        if (performance.now() > endsAt) throw new IoError({ code: "NO_LEADER", text: `no beat within ${msMax} ms` }, "later");
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      return heard.leader;
    },
    async stop() {
      unsubscribe();
      await bus.close();
    },
  };
}
