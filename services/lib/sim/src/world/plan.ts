/** The transactions of a world: who sends what with which nonce. When they are sent is the clients' business. */
import type { EngineModule } from "@meridian/core";
import { TX, hexOf } from "@meridian/core";
import { packScript } from "../contracts/player.ts";
import type { Random } from "../kernel/random.ts";
import { CHAIN_ID } from "./genesis.ts";
import type { ScriptWriter } from "./scripts.ts";
import { packTransaction } from "./transactions.ts";
import type { TransactionFields } from "./transactions.ts";
import type { Habits } from "./world.ts";

export interface PlannedTransaction {
  id: number;
  sender: string; // lower-case hex
  nonce: number;
  hash: string;
  record: Uint8Array;
}

const GAS_LIMITS = [200_000, 600_000, 2_000_000];
const CALLDATA_GAS = 40;
const VALUE_MAX = 600;
const CALLS_MAX = 8;

export function planTransactions(
  module: Pick<EngineModule, "keccak256">,
  random: Random,
  senders: readonly Uint8Array[],
  draw: (sender: Uint8Array, nonce: number) => TransactionFields,
  { rivals, batches, perSender }: { rivals: number; batches: number; perSender: number },
): PlannedTransaction[] {
  const planned: PlannedTransaction[] = [];
  const add = ({ sender, nonce }: TransactionFields, record: Uint8Array): void => {
    const hash = hexOf(record, TX.hash, TX.hash + 32);
    planned.push({ id: planned.length, sender: hexOf(sender), nonce, hash, record });
  };
  for (const sender of senders) {
    const count = random.between(2, perSender);
    for (let nonce = 0; nonce < count; nonce++) {
      const fields = draw(sender, nonce);
      const { record } = packTransaction(module, fields);
      add(fields, record);
      if (batches > 0 && random.chance(batches)) {
        const calls = Math.min(random.between(2, CALLS_MAX), count - nonce);
        for (let call = 1; call < calls; call++) add(...nextCall(module, fields, record, call));
        nonce += calls - 1;
      } else if (random.chance(rivals)) {
        const rival = draw(sender, nonce);
        add(rival, packTransaction(module, rival).record);
      }
    }
  }
  return planned;
}

/** One more call like the first of its batch: with the nonce behind it, and a hash that differs in its last bytes only. */
function nextCall(
  module: Pick<EngineModule, "keccak256">,
  first: TransactionFields,
  firstRecord: Uint8Array,
  call: number,
): [fields: TransactionFields, record: Uint8Array] {
  const fields = { ...first, nonce: first.nonce + call };
  const { record } = packTransaction(module, fields);
  record.set(firstRecord.subarray(TX.hash, TX.hash + 32), TX.hash);
  record[TX.hash + 31] = (record[TX.hash + 31]! + call) & 255;
  return [fields, record];
}

/** A transaction that calls a player, creates one, or only sends value. */
export function drawTransaction(
  random: Random,
  sender: Uint8Array,
  nonce: number,
  scripts: ScriptWriter,
  habits: Habits,
): TransactionFields {
  const value = random.chance(habits.value) ? random.between(1, VALUE_MAX) : 0;
  const base = { chainId: CHAIN_ID, sender, nonce, value, gasLimit: random.pick(GAS_LIMITS) };
  if (random.chance(habits.creates)) return { ...base, to: null, input: scripts.init(), accessList: [] };
  // A plain transfer, to anybody.
  if (random.chance(0.15)) return { ...base, to: scripts.account(), input: new Uint8Array(0), accessList: [] };
  const to = scripts.contract();
  const steps = scripts.script(to);
  const isListed = random.chance(habits.listed);
  const named = random.chance(habits.listedWrong) ? random.sample(scripts.named(steps), 1) : scripts.named(steps);
  const wrong = random.chance(habits.listedWrong) ? [scripts.account()] : [];
  const input = packScript(steps);
  // A gateway takes nothing below what its calldata alone may cost (EIP-7623).
  const gasLimit = base.gasLimit + input.length * CALLDATA_GAS;
  return { ...base, gasLimit, to, input, accessList: isListed ? [...named, ...wrong] : [] };
}
