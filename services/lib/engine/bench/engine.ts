/**
 * Both builds side by side: `npm run bench -w @meridian/engine [-- --holders 100000]`. Microseconds a transaction, of the
 * thread's processor time: on a machine that is shared the wall clock says more about the others.
 */
import { Console } from "node:console";
import { parseArgs } from "node:util";
import type { Engine, EngineModule } from "@meridian/core";
import { MODE, assert, concatBytes, resultBytes, resultStatus } from "@meridian/core";
import type { EngineChoice } from "../src/load.ts";
import { loadEngine } from "../src/load.ts";
import { hasNative } from "../src/native.ts";
import * as chain from "../test/chain.ts";
import { compileToken, transferData } from "../test/token.ts";

const terminal = new Console(process.stdout, process.stderr);

const { values } = parseArgs({
  options: { holders: { type: "string", default: "100000" }, transactions: { type: "string", default: "50000" } },
});
const HOLDERS = Number(values.holders);
const TRANSACTIONS = Number(values.transactions);
const BATCH = 500;
const ROUNDS = 3;
const SIGNED = 2000;
const CALLS = 20_000;
const DECODE_ROUNDS = 10;
const GROUP = 100;
const GROUP_AGAIN = 100;

const token = compileToken();
let block = 0;

function measure(module: EngineModule): Record<string, number | string> {
  const engine = module.open({ chainId: chain.CHAIN_ID });
  engine.setOwned(chain.EVERYTHING);
  const owner = chain.key(0);
  const contract = deploy(module, engine, owner);
  const facts = {
    "ERC-20 transfer": best(module, engine, (number) => tokenTransfer(contract, number)),
    "plain transfer": best(module, engine, (number) => plainTransfer(number)),
    "ERC-20 in a group": groupCost(module, contract),
    "decode and recover": decodeCost(module),
    "decode a call": `${callCost(module, 100)} of 100, ${callCost(module, 1_000)} of 1,000`,
    MiB: Math.round(engine.memory().bytes / 1024 / 1024),
  };
  void engine.close();
  return facts;
}

/** A holder's address needs no key: the records are made, not signed. */
function holder(number: number): Uint8Array {
  const address = new Uint8Array(20);
  address.set(chain.number32((number % HOLDERS) + 1), 0);
  address[19] = 1;
  return address;
}

function deploy(module: EngineModule, engine: Engine, owner: chain.Key): Uint8Array {
  engine.openBlock(chain.context(0));
  const creation = chain.records(module, [chain.sign({ data: token.creation(owner.address), gasLimit: 5_000_000 }, owner)]);
  const contract = creation.slice(84, 104);
  engine.run(creation, chain.nonceRecords(creation), chain.FREE_RUN);
  const cells: Uint8Array[] = [];
  for (let number = 0; number < HOLDERS; number++) {
    cells.push(chain.accountCell(holder(number), 10n ** 18n));
    cells.push(chain.slotCell(contract, token.balanceSlot(holder(number)), chain.word(10n ** 18n)));
  }
  engine.importCells(concatBytes(cells));
  engine.closeBlock();
  return contract;
}

/** Spreads numbers over the holders. */
function pick(number: number): number {
  return Math.imul(number, 2_654_435_761) >>> 0;
}

/** Differs from neighbour to neighbour: what goes round in a circle would change nothing in the end. */
function amount(number: number): bigint {
  return BigInt(1 + (number % 5));
}

/** The thread's processor time in milliseconds. */
function millisNow(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function tokenTransfer(contract: Uint8Array, number: number): chain.Unsigned {
  const data = transferData(holder(pick(number)), amount(number));
  return { sender: holder(pick(number + 7)), fields: { to: contract, data, gasLimit: 100_000 } };
}

function plainTransfer(number: number): chain.Unsigned {
  return { sender: holder(pick(number + 7)), fields: { to: holder(pick(number)), value: amount(number), gasLimit: 21_000 } };
}

function best(module: EngineModule, engine: Engine, make: (number: number) => chain.Unsigned): string {
  let run = Infinity;
  let close = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const batches = Array.from({ length: TRANSACTIONS / BATCH }, (_, batch) =>
      chain.unsignedRecords(
        module,
        Array.from({ length: BATCH }, (_, number) => make(round * TRANSACTIONS + batch * BATCH + number)),
      ),
    );
    const nonces = batches.map((batch) => chain.nonceRecords(batch));
    engine.openBlock(chain.context(++block));
    const start = millisNow();
    const results = batches.map((batch, number) => engine.run(batch, nonces[number]!, chain.FREE_RUN).results);
    const middle = millisNow();
    engine.closeBlock();
    run = Math.min(run, middle - start);
    close = Math.min(close, millisNow() - middle);
    assert(results.every(areSuccesses), "every transfer of the benchmark succeeds");
    engine.seal(block, new Uint8Array(32));
  }
  const micros = (millis: number): string => ((millis * 1000) / TRANSACTIONS).toFixed(2);
  return `${micros(run)} (+ ${micros(close)} closing)`;
}

/** A member of a group at a home that owns nothing of the token, in the round with all cells given. */
function groupCost(module: EngineModule, contract: Uint8Array): string {
  const home = module.open({ chainId: chain.CHAIN_ID });
  home.setOwned({ ranges: [], pinsIn: [], pinsOut: [] });
  home.openBlock(chain.context(1));
  const owner = module.open({ chainId: chain.CHAIN_ID });
  owner.setOwned(chain.EVERYTHING);
  deploy(module, owner, chain.key(0));
  owner.openBlock(chain.context(++block));
  const allowed = concatBytes([Uint8Array.of(MODE.write), contract]);
  const rules = { ...chain.WHOLE, whole: false, allowed };
  let millis = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const members = Array.from({ length: GROUP }, (_, number) => tokenTransfer(contract, round * GROUP + number));
    const records = chain.unsignedRecords(module, members);
    let given: Uint8Array = new Uint8Array(0);
    for (let missing = home.propose(records, given, rules).missing; missing.length > 0;) {
      given = concatBytes([given, owner.grant(missing)]);
      missing = home.propose(records, given, rules).missing;
    }
    const start = millisNow();
    for (let again = 0; again < GROUP_AGAIN; again++) home.propose(records, given, rules);
    millis += millisNow() - start;
  }
  void home.close();
  void owner.close();
  return ((millis * 1000) / (ROUNDS * GROUP * GROUP_AGAIN)).toFixed(2);
}

function areSuccesses(results: Uint8Array): boolean {
  for (let at = 0; at < results.length; at += resultBytes(results, at)) if (resultStatus(results, at) !== 1) return false;
  return true;
}

function decodeCost(module: EngineModule): string {
  const signer = chain.key(1);
  const raws = chain.packRaw(
    Array.from({ length: SIGNED }, (_, nonce) => chain.sign({ nonce, to: holder(nonce), value: 1n }, signer)),
  );
  return decodeMicros(module, raws, SIGNED).toFixed(1);
}

/** An ERC-20 transfer as one of `size` calls of a signed batch. */
function callCost(module: EngineModule, size: number): string {
  const signer = chain.key(1);
  const to = holder(1);
  const batches = CALLS / size;
  const raws = Array.from({ length: batches }, (_, batch) => {
    const transfer = (call: number): chain.CallFields => ({
      to,
      gas: 100_000,
      data: transferData(holder(pick(batch * size + call)), 5n),
    });
    return chain.signBatch({ nonce: batch * size, calls: Array.from({ length: size }, (_, call) => transfer(call)) }, signer);
  });
  return decodeMicros(module, chain.packRaw(raws), CALLS).toFixed(2);
}

function decodeMicros(module: EngineModule, raws: Uint8Array, count: number): number {
  let millis = Infinity;
  for (let round = 0; round < DECODE_ROUNDS; round++) {
    const start = millisNow();
    module.decode(raws, chain.LIMITS);
    millis = Math.min(millis, millisNow() - start);
  }
  return (millis * 1000) / count;
}

const builds: EngineChoice[] = hasNative() ? ["native", "wasm"] : ["wasm"];
terminal.log(
  `${HOLDERS} holders, ${TRANSACTIONS} transactions in batches of ${BATCH}; best of ${ROUNDS} rounds, microseconds each`,
);
const rows = builds.map((build) => loadEngine(build)).map((module) => ({ build: module.build, ...measure(module) }));
terminal.table(rows);
