/** Planted bug: a writer that says each `apply` a second time, in the next flush for the same partition. */
import type { ApplyEntry, Entry, Log, LogWriter, PartitionId } from "@meridian/core";

type Messages = Parameters<LogWriter["append"]>[1];

/** The log of a scheduler that does so once it leads. */
export function withDoubledApplies(log: Log): Log {
  return {
    tails: () => log.tails(),
    begin: (messages) => log.begin(messages),
    takeOver: async (leader, partitions) => {
      const taken = await log.takeOver(leader, partitions);
      return "fenced" in taken ? taken : { writer: doubling(taken.writer) };
    },
    read: (partition, after, options) => log.read(partition, after, options),
    readToEnd: (partition, fromN, toN) => log.readToEnd(partition, fromN, toN),
    truncate: (partition, n) => log.truncate(partition, n),
  };
}

function doubling(writer: LogWriter): LogWriter {
  const said = new Map<PartitionId, Entry[]>();
  const again = (messages: Messages): Messages =>
    messages.map(({ partition, entries }) => ({ partition, entries: [...(said.get(partition) ?? []), ...entries] }));
  const note = (messages: Messages): void => {
    for (const { partition, entries } of messages) {
      const applies = entries.filter((entry): entry is ApplyEntry => entry.kind === "apply");
      said.set(
        partition,
        applies.map((entry) => ({ ...entry, index: 0 })),
      );
    }
  };
  return {
    get term() {
      return writer.term;
    },
    get flush() {
      return writer.flush;
    },
    position: (partition) => writer.position(partition),
    append: async (flush, messages, headers) => {
      const outcome = await writer.append(flush, again(messages), headers);
      if (outcome.outcome === "appended") note(messages);
      return outcome;
    },
  };
}
