/** One thing that the published chain says and the replay does not. */
export interface Difference {
  block: number;
  transaction: { index: number; hash: string } | null;
  field: string;
  published: string;
  replayed: string;
}

/** "block 7, transaction 3 (0x…), gasUsed: published 21000, replayed 21001" */
export function describeDifference({ block, transaction, field, published, replayed }: Difference): string {
  const place = transaction === null ? "" : `, transaction ${transaction.index} (${transaction.hash})`;
  return `block ${block}${place}, ${field}: published ${published}, replayed ${replayed}`;
}

/** Collects what differs, up to a limit. */
export class Differences {
  readonly list: Difference[] = [];
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get isFull(): boolean {
    return this.list.length >= this.#max;
  }

  add(difference: Difference): void {
    if (!this.isFull) this.list.push(difference);
  }
}
