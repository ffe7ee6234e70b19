/** Whether a run has come to its end: everything sent has its fate, and every process knows all of it. */
import { decodeLogMessage } from "@meridian/bus";
import type { Network } from "../kernel/network.ts";
import type { Run } from "./run.ts";

const ends = new WeakMap<Run, number>();

/** Null if all has settled, else what it waits for. */
export function isSettled(run: Run): string | null {
  const { clients, system, network } = run;
  for (const client of clients) {
    const open = client.sent.find(({ fate }) => fate === "waiting");
    if (open !== undefined) return `transaction ${open.planned.id} is not acknowledged`;
    if (!client.isDone) return "a client waits for an answer";
  }
  // The block that was open when the last transaction was taken: it closes when nothing is left of it.
  const end = ends.get(run) ?? lastBlock(network) + 1;
  ends.set(run, end);
  const sealed = clients[0]?.beat?.latest.number ?? -1;
  if (sealed < end) return `block ${end} is not sealed, the last one is ${sealed}`;
  const short = system.disks.findIndex(({ rows }) => (rows.at(-1)?.stored.number ?? -1) < end);
  if (short >= 0) return `archive ${short} does not have block ${end}`;
  for (const { name, kind, isUp } of system.members) {
    if (kind !== "partition" || !isUp) continue;
    const { closedBlock } = system.actors.get(name)?.status() ?? { closedBlock: -1 };
    if (closedBlock < end) return `${name} is behind at block ${closedBlock}`;
  }
  return null;
}

/** The last block that LOG closes. */
function lastBlock({ kept }: Network): number {
  for (const { stream, payload } of kept.toReversed()) {
    if (stream !== "LOG") continue;
    const closed = decodeLogMessage(payload).message.entries.find((entry) => entry.kind === "block");
    if (closed !== undefined) return closed.number;
  }
  return 0;
}
