/**
 * What a scheduler needs around it, for tests: partitions that apply LOG to a ledger, an archive that seals, and a client that
 * sends until it knows what became of its transactions. All of it over a real or an in-memory bus.
 */
import {
  SUBJECT,
  decodeBeat,
  decodeReadRequest,
  decodeSubmitReply,
  encodeBuilt,
  encodeGroupProposal,
  encodeReadReply,
  encodeReport,
} from "@meridian/bus";
import { SUBMIT, assert, hexOf, isIoError } from "@meridian/core";
import type { Beat, Bus, Headers, PartitionId, SubmitReply } from "@meridian/core";
import {
  applyToLedger,
  noncesInLedger,
  openLedger,
  proposalsOf,
  reportOf,
  transferHash,
  transferRecords,
} from "@meridian/core/sequencer/testing";
import type { Ledger, TestTransfer } from "@meridian/core/sequencer/testing";

const REPORT_MS = 20;
const READ_BYTES = 1_000_000;
const READ_WAIT_MS = 1_000;

export interface FakePartitions {
  ledger: Ledger;
  /** Set if a log broke a rule. */
  failure: () => unknown;
  stop: () => void;
}

/** All partitions of the chain, from the first message of each log. */
export async function fakePartitions(bus: Bus): Promise<FakePartitions> {
  const [first] = await bus.log.readToEnd(0, 1);
  const genesis = first?.entries[0];
  assert(genesis?.kind === "genesis", "the chain has not begun");
  const ledger = openLedger(genesis.map);
  const stopped = new AbortController();
  let failure: unknown;
  const stops = [...ledger.logs.keys()].map((partition) => {
    void follow(bus, ledger, partition, stopped.signal).catch((error: unknown) => {
      if (!stopped.signal.aborted) failure ??= error;
    });
    return answerNonces(bus, ledger, partition);
  });
  return {
    ledger,
    failure: () => failure,
    stop: () => {
      stopped.abort();
      for (const stop of stops) stop();
    },
  };
}

async function follow(bus: Bus, ledger: Ledger, partition: PartitionId, signal: AbortSignal): Promise<void> {
  const report = () => {
    bus.wire.publish(SUBJECT.report(partition), encodeReport(reportOf(ledger, partition)));
    for (const proposal of proposalsOf(ledger, partition)) bus.wire.publish(SUBJECT.proposal, encodeGroupProposal(proposal));
  };
  const timer = setInterval(report, REPORT_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  const start = { n: 0, flush: 0, hash: new Uint8Array(32) };
  for await (const batch of bus.log.read(partition, start, { bytesMax: READ_BYTES, signal })) {
    for (const { message } of batch) applyToLedger(ledger, partition, message.flush, message.entries);
    report();
  }
}

function answerNonces(bus: Bus, ledger: Ledger, partition: PartitionId): () => void {
  return bus.wire.subscribe(SUBJECT.read(partition), (message) => {
    const request = decodeReadRequest(message.payload);
    if (request.op !== "nonces") return;
    const { atN, addresses } = request;
    const endsAt = Date.now() + READ_WAIT_MS;
    const answer = () => {
      const n = ledger.logs.get(partition)?.n ?? 0;
      if (n >= atN) message.respond(encodeReadReply({ op: "nonces", nonces: noncesInLedger(ledger, addresses) }));
      else if (Date.now() < endsAt) setTimeout(answer, 2);
      else message.respond(encodeReadReply({ op: "failed", failure: { code: "BEHIND", newest: 0 } }));
    };
    answer();
  });
}

export const builtHash = (number: number): Uint8Array => new Uint8Array(32).fill((number % 250) + 1);

/** Says every closed block again and again until the beat shows it as latest. */
export function fakeArchive(bus: Bus, ledger: Ledger): () => void {
  let latest = -1;
  const stopEar = bus.wire.subscribe(SUBJECT.beat, ({ payload }) => {
    const beat = decodeBeat(payload);
    if (hexOf(beat.latest.hash) === hexOf(builtHash(beat.latest.number))) latest = Math.max(latest, beat.latest.number);
  });
  const timer = setInterval(() => {
    const closed = Math.min(...[...ledger.logs.values()].map(({ open }) => open - 1));
    for (let number = latest + 1; number <= closed; number++) {
      bus.wire.publish(SUBJECT.built, encodeBuilt({ archive: "fake", number, hash: builtHash(number), timestamp: 1 }));
    }
  }, REPORT_MS);
  return () => {
    stopEar();
    clearInterval(timer);
  };
}

export interface FakeClient {
  beat: () => Beat | undefined;
  /** One request to the leader heard last. */
  submit: (transfers: TestTransfer[], headers?: Headers) => Promise<SubmitReply>;
  /** Sends until every transaction is accepted or known; hashes of those are in `acknowledged`. */
  send: (transfers: TestTransfer[], msMax?: number) => Promise<void>;
  acknowledged: Set<string>;
  stop: () => void;
}

export function fakeClient(bus: Bus): FakeClient {
  let beat: Beat | undefined;
  const stop = bus.wire.subscribe(SUBJECT.beat, ({ payload }) => {
    const said = decodeBeat(payload);
    if (beat === undefined || said.term >= beat.term) beat = said;
  });
  const acknowledged = new Set<string>();
  const submit = async (transfers: TestTransfer[], headers: Headers = {}): Promise<SubmitReply> => {
    const request = bus.wire.request(SUBJECT.submit(beat?.term ?? 0), transferRecords(transfers), { timeoutMs: 2_000, headers });
    return decodeSubmitReply(await request);
  };
  const trySend = async (left: TestTransfer[]): Promise<TestTransfer[]> => {
    try {
      const { codes } = await submit(left);
      return left.filter((transfer, index) => {
        const code = codes[index];
        const isDone = code === SUBMIT.accepted || code === SUBMIT.known;
        if (isDone) acknowledged.add(hexOf(transferHash(transfer)));
        return !isDone;
      });
    } catch (error) {
      if (!isIoError(error)) throw error;
      return left; // No leader there, or no answer: nobody knows what became of them.
    }
  };
  const send = async (transfers: TestTransfer[], msMax = 20_000): Promise<void> => {
    const endsAt = Date.now() + msMax;
    for (let left = transfers; left.length > 0 && Date.now() < endsAt;) {
      left = await trySend(left);
      if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  return { beat: () => beat, submit, send, acknowledged, stop };
}
