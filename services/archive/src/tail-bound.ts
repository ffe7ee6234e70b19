/**
 * How much can stand in no block yet. The scheduler bounds the gas of a block, not its bytes, so bytes are what gas can buy:
 *
 * | what | bytes a gas |
 * |---|---|
 * | a transfer: about 300 bytes of records for 21,000 gas | 0.015 |
 * | log data, 8 gas a byte | 0.125 |
 * | calldata, 4 to 16 gas a byte | 0.25 |
 * | revert data in the result: memory of w words costs 3w + w * w / 512, best at 105 kB for 51,837 gas | 2.03 |
 *
 * A transaction of several of these gets no more for its gas than the best of them gives.
 */

/** Revert data, with the transaction's own records in it. */
const BYTES_PER_GAS = 2.05;
/** Blocks without a seal that the scheduler allows, and the open one. */
const OPEN_BLOCKS_MAX = 9;
/** For what each record costs beside its transactions. */
const MARGIN = 1.3;

/** Bytes of records in no block yet that nothing the scheduler admits can reach; at least `bytesMin`. */
export const tailBytesMaxOf = (blockGasLimit: number, bytesMin: number): number =>
  Math.max(bytesMin, Math.ceil(blockGasLimit * BYTES_PER_GAS * OPEN_BLOCKS_MAX * MARGIN));
