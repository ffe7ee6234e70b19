/**
 * The chain's own rules (free gas, the sender not loaded, nonces by record) against Ethereum's with everything set to 0: the
 * same transaction through `run` and through revm's own handler must leave the same accounts.
 */
import type { DecodeLimits } from "@meridian/core";
import { DECODE, TX, assert, bytesOfHex, concatBytes, resultGasUsed, resultLogCount, resultStatus } from "@meridian/core";
import type { PackedModule } from "../src/module.ts";
import { Writer } from "../src/writer.ts";
import type { Fixture, FixturePost } from "./fixture.ts";
import { packAccounts, packCase, word } from "./fixture.ts";
import type { Facts } from "./run.ts";
import { factsOf, firstDifference, receiptOf, unpackAnswer } from "./run.ts";

/** Rules under which `run` executes. */
export const FREE_FORK = "Osaka";
const FIRST = new Uint8Array(20);
const LAST = new Uint8Array(20).fill(0xff);
const HASHES = 256;
const EVERYTHING = { ranges: [{ first: FIRST, last: LAST }], pinsIn: [], pinsOut: [] };

/** True if this chain takes the transaction at all. */
export function isTaken(module: PackedModule, fixture: Fixture, post: FixturePost): boolean {
  return post.expectException === undefined && decoded(module, fixture, post) !== null;
}

function decoded(module: PackedModule, { config }: Fixture, post: FixturePost): Uint8Array | null {
  const limits: DecodeLimits = { chainId: Number(config.chainid), gasLimitMax: 2 ** 52, transactionBytesMax: 2 ** 20 };
  const raw = bytesOfHex(post.txbytes);
  const { records, statuses } = module.decode(new Writer(raw.length + 4).part(raw).done(), limits);
  return statuses[0] === DECODE.ok ? records : null;
}

/** The first difference, or null if there is none. */
export function runFree(module: PackedModule, fixture: Fixture, post: FixturePost): string | null {
  const records = decoded(module, fixture, post);
  assert(records !== null, "the case was asked for with isTaken before");
  const env = { ...fixture.env, currentCoinbase: `0x${"00".repeat(20)}`, currentBaseFee: "0x0", currentExcessBlobGas: "0x0" };
  const hash = (bytes: Uint8Array): Uint8Array => module.keccak256(bytes);
  const expected = unpackAnswer(module.conformance(packCase({ ...fixture, env }, FREE_FORK, post, hash, true)));
  if (!expected.isExecuted) return `Ethereum refuses: ${expected.why}`;
  const got = executed(module, fixture, records);
  if (got.receipt !== expected.receipt) return `${got.receipt}, expected ${expected.receipt}`;
  return firstDifference(withoutEmpty(got.facts), withoutEmpty(expected.facts));
}

function executed(module: PackedModule, { env, pre, config }: Fixture, records: Uint8Array): { receipt: string; facts: Facts } {
  const engine = module.open({ chainId: Number(config.chainid) });
  const number = Number(env["currentNumber"]);
  engine.setOwned(EVERYTHING);
  engine.importCells(packAccounts(pre, (bytes) => module.keccak256(bytes)));
  for (let earlier = Math.max(0, number - HASHES); earlier < number; earlier++) {
    engine.seal(earlier, module.keccak256(new TextEncoder().encode(String(earlier))));
  }
  const prevrandao = word(env["currentRandom"] ?? "0x0");
  engine.openBlock({ number, timestamp: Number(env["currentTimestamp"]), prevrandao, gasLimit: Number(env["currentGasLimit"]) });
  const nothing = new Uint8Array(0);
  const rules = { flush: 1, strict: false, barred: nothing, missed: nothing };
  const { results: result } = engine.run(records, nonceRecord(records), rules);
  engine.closeBlock();
  const { cells } = engine.exportCells(number, FIRST, LAST, 2 ** 31);
  void engine.close();
  const receipt = receiptOf(resultStatus(result, 0), resultGasUsed(result, 0), resultLogCount(result, 0));
  return { receipt, facts: factsOf(cells) };
}

function nonceRecord(records: Uint8Array): Uint8Array {
  const [index, sender] = [records.subarray(TX.index, TX.index + 4), records.subarray(TX.sender, TX.sender + 20)];
  const [nonce, hash] = [records.subarray(TX.nonce, TX.nonce + 8), records.subarray(TX.hash, TX.hash + 32)];
  const none = new Uint8Array(4); // No call of a run follows it.
  return concatBytes([index, sender, nonce, hash, none]);
}

/** Cells that read as never written have no place in an export. */
function withoutEmpty(facts: Facts): Facts {
  const isEmpty = (value: string): boolean => value === "" || /^0+$/.test(value);
  return new Map([...facts].filter(([, value]) => !isEmpty(value)));
}
