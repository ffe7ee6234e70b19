/** Sends the transactions of a deployment and sees to it that each one succeeded. */
import { setTimeout as delay } from "node:timers/promises";
import { IoError } from "@meridian/core";
import {
  type Fees,
  type RpcClient,
  type Signed,
  type TestAccount,
  type Unsigned,
  createdAddress,
  sendLane,
  sign,
} from "@meridian/launcher";

/** EIP-7825: as much as a transaction may ask for. */
export const DEPLOY_GAS_LIMIT = 16_777_216;
const BATCH_BYTES_MAX = 2 * 1_048_576;
const BATCH_MAX = 200;
const STALL_MS_MAX = 60_000;
const RECEIPT_MS_MAX = 60_000;
const RECEIPTS = 500;
const POLL_MS = 50;

export interface SetupOptions {
  rpc: RpcClient;
  chainId: number;
  fees: Fees;
  say: (text: string) => void;
}

export class Setup {
  readonly rpc: RpcClient;
  readonly say: (text: string) => void;
  readonly #chainId: number;
  readonly #fees: Fees;

  constructor({ rpc, chainId, fees, say }: SetupOptions) {
    this.rpc = rpc;
    this.say = say;
    this.#chainId = chainId;
    this.#fees = fees;
  }

  sign(sender: TestAccount, transaction: Omit<Unsigned, "valueWei">): Signed {
    return sign(this.#chainId, sender, { valueWei: 0n, ...transaction }, this.#fees);
  }

  /** Creation of a contract. */
  create(sender: TestAccount, nonce: number, code: Uint8Array): Signed {
    return this.sign(sender, { nonce, to: null, data: code, gasLimit: DEPLOY_GAS_LIMIT });
  }

  /** Sends in order and waits for all receipts. @throws IoError DEPLOY if one failed or is missing, SEND if one is refused */
  async confirm(transactions: readonly Signed[]): Promise<void> {
    for (const part of partsOf(transactions)) {
      await sendLane(this.rpc, part, { batch: BATCH_MAX, stallMsMax: STALL_MS_MAX, isPatient: true });
    }
    for (let first = 0; first < transactions.length; first += RECEIPTS) {
      await this.#receipts(transactions.slice(first, first + RECEIPTS));
    }
  }

  async #receipts(transactions: readonly Signed[]): Promise<void> {
    const calls = transactions.map(({ hash }) => ({ method: "eth_getTransactionReceipt", params: [hash] }));
    for (const endsAt = Date.now() + RECEIPT_MS_MAX; ; await delay(POLL_MS)) {
      const answers = await this.rpc.batch(calls);
      const receipts = answers.map((answer) => ("result" in answer ? (answer.result as { status: string } | null) : null));
      const failed = receipts.findIndex((receipt) => receipt !== null && receipt.status !== "0x1");
      const at = transactions[failed];
      if (at !== undefined)
        throw new IoError({ code: "DEPLOY", text: `${at.hash} failed: ${JSON.stringify(receipts[failed])}` }, "never");
      const missing = receipts.filter((receipt) => receipt === null).length;
      if (missing === 0) return;
      if (Date.now() > endsAt)
        throw new IoError({ code: "DEPLOY", text: `${missing} receipts are missing after ${RECEIPT_MS_MAX} ms` }, "later");
    }
  }
}

/** Parts that fit into one request each. */
function partsOf(transactions: readonly Signed[]): Signed[][] {
  const parts: Signed[][] = [];
  let bytes = Infinity;
  for (const transaction of transactions) {
    if (bytes + transaction.raw.length > BATCH_BYTES_MAX || (parts.at(-1)?.length ?? 0) >= BATCH_MAX) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(transaction);
    bytes += transaction.raw.length;
  }
  return parts;
}

/** An account whose first contract stands in part `part` of `parts` equal parts of the address space. */
export function deployerIn(part: number, parts: number, account: (attempt: number) => TestAccount): TestAccount {
  for (let attempt = 0; ; attempt++) {
    const candidate = account(attempt);
    const [high = 0, low = 0] = createdAddress(candidate, 0);
    if (Math.floor(((high * 256 + low) / 65_536) * parts) === part) return candidate;
  }
}
