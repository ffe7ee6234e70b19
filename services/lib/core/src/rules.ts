/**
 * The rules of the protocol that the simulator can switch off one by one, to prove that it would find their absence. Everything
 * else runs with `ALL_RULES`.
 */
export interface Rules {
  /** A waiting transaction, at its turn, touches nothing undeclared. */
  waitersAreStrict: boolean;
  /** A transaction that runs at once touches nothing undeclared that a waiter stands on (a lock: always). */
  waitersBar: boolean;
  /** The sender is a queue key on the home. */
  sendersQueue: boolean;
  /** A group's member touches nothing outside of the group's locked accounts, also on the home. */
  membersAreStrict: boolean;
  /** One order of positions in all logs of a flush. */
  oneOrder: boolean;
  /** Home commits and unlocks only from `apply`. */
  homeWaitsForApply: boolean;
  /** A transaction misses if the one that it names in `after` missed. */
  followersMiss: boolean;
  /** A block waits for local transactions and misses too, not only for groups. */
  blocksDrain: boolean;
  /** A sender's nonce is never written by `apply`. */
  noncesApart: boolean;
  /** Two transactions of one sender are in flight together only with the same home. */
  sendersStay: boolean;
  /** A transaction with nonce 0 declares its sender. */
  firstDeclares: boolean;
  /** Published at the position of the transaction's own last entry, not of the entry that made it run. */
  publishedAtEntry: boolean;
  /** Clients are answered after the append. */
  answersAfterAppend: boolean;
  /** Locks are held until `apply` or `abort`. */
  locksHold: boolean;
  /** The first `apply` or `abort` of a group counts, each write once. */
  appliesOnce: boolean;
  /** A proposal that comes after `abort` changes nothing. */
  abortsCount: boolean;
  /** A grant is read only while the participant holds the lock. */
  grantsAreHeld: boolean;
  /** What other transactions predicted is checked by execution, not believed. */
  predictionsAreChecked: boolean;
  /** An account that moved away is forgotten by its old owner. */
  movedIsForgotten: boolean;
  /** A snapshot stands at the position of its block's entry. */
  snapshotsAreExact: boolean;
  /** What was delivered and not applied is delivered again. */
  redelivers: boolean;
  /** Mode `code` sees only what stood when the last block closed (docs/adr/0016-code-mode.md). */
  codeIsOld: boolean;
}

export const ALL_RULES: Readonly<Rules> = {
  waitersAreStrict: true,
  waitersBar: true,
  sendersQueue: true,
  membersAreStrict: true,
  oneOrder: true,
  homeWaitsForApply: true,
  followersMiss: true,
  blocksDrain: true,
  noncesApart: true,
  sendersStay: true,
  firstDeclares: true,
  publishedAtEntry: true,
  answersAfterAppend: true,
  locksHold: true,
  appliesOnce: true,
  abortsCount: true,
  grantsAreHeld: true,
  predictionsAreChecked: true,
  movedIsForgotten: true,
  snapshotsAreExact: true,
  redelivers: true,
  codeIsOld: true,
};
