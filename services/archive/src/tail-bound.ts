/**
 * How much can stand in no block yet. The scheduler bounds the gas of a block, not its bytes, so bytes are what gas can buy:
 *
 * | what | bytes for gas | bytes a gas |
 * |---|---|---|
 * | a transfer | 400 for 21,000 | 0.02 |
 * | log data | 1 for 8 | 0.125 |
 * | zeros as calldata (EIP-7623) | 1 for 10 | 0.1 |
 * | the same, and logs for the gas that the floor leaves over | 1.75 for 10 | 0.175 |
 * | an address in the access list, and in the declared set | 44 for 2,400 | 0.02 |
 * | revert data, which the engine keeps the first 4 KiB of | 4,496 for 21,416 | 0.21 |
 * | the same, with the longest declared set that calls of others can teach: 128 accounts | 7,184 for 21,416 | 0.34 |
 *
 * A transaction of several of these gets no more for its gas than the best of them gives.
 */

const BYTES_PER_GAS = 0.4;
/** Blocks without a seal that the scheduler allows, and the open one. */
const OPEN_BLOCKS_MAX = 9;
/** For what each record costs beside its transactions. */
const MARGIN = 1.3;

/** Bytes of records in no block yet that nothing the scheduler admits can reach; at least `bytesMin`. */
export const tailBytesMaxOf = (blockGasLimit: number, bytesMin: number): number =>
  Math.max(bytesMin, Math.ceil(blockGasLimit * BYTES_PER_GAS * OPEN_BLOCKS_MAX * MARGIN));
