/** Runs one case and compares everything after it: whether it was refused, the logs, every account, nonce, slot and code. */
import { CELL, hexOf, readU32, readU64 } from "@meridian/core";
import type { PackedModule } from "../src/module.ts";
import type { Fixture, FixturePost } from "./fixture.ts";
import { packCase, word } from "./fixture.ts";

export type Facts = Map<string, string>;

/** The first difference as text, or null if the case passes. */
export function runCase(module: PackedModule, fixture: Fixture, fork: string, post: FixturePost): string | null {
  const answer = module.conformance(packCase(fixture, fork, post, (bytes) => module.keccak256(bytes)));
  const { isExecuted, why, logs, facts } = unpackAnswer(answer);
  if (post.expectException !== undefined && isExecuted) return `executed, expected ${post.expectException}`;
  if (post.expectException === undefined && !isExecuted) return `refused: ${why}`;
  if (logs !== post.logs) return `logs ${logs}, expected ${post.logs}`;
  return firstDifference(facts, expectedFacts(post));
}

/** What the crate says of a case. */
export interface Answer {
  isExecuted: boolean;
  logs: string;
  receipt: string;
  why: string;
  facts: Facts;
}

export function unpackAnswer(answer: Uint8Array): Answer {
  const whyEnd = 50 + readU32(answer, 46);
  return {
    isExecuted: answer[0] === 1,
    logs: `0x${hexOf(answer, 1, 33)}`,
    receipt: receiptOf(answer[33]!, readU64(answer, 34), readU32(answer, 42)),
    why: new TextDecoder().decode(answer.subarray(50, whyEnd)),
    facts: factsOf(answer.subarray(whyEnd)),
  };
}

export const receiptOf = (status: number, gasUsed: number, logs: number): string =>
  `status ${status}, gas ${gasUsed}, logs ${logs}`;

export function firstDifference(got: Facts, expected: Facts): string | null {
  for (const [name, value] of expected) {
    if (got.get(name) !== value) return `${name} ${got.get(name) ?? "absent"}, expected ${value}`;
  }
  for (const [name, value] of got) {
    if (!expected.has(name)) return `${name} ${value}, expected absent`;
  }
  return null;
}

function expectedFacts(post: FixturePost): Facts {
  const facts: Facts = new Map();
  for (const [name, { nonce, balance, code, storage }] of Object.entries(post.state)) {
    const address = name.slice(2).toLowerCase();
    facts.set(`balance ${address}`, hexOf(word(balance)));
    facts.set(`nonce ${address}`, BigInt(nonce).toString());
    facts.set(`code ${address}`, code.slice(2).toLowerCase());
    for (const [slot, value] of Object.entries(storage)) {
      if (BigInt(value) !== 0n) facts.set(`slot ${address} ${hexOf(word(slot))}`, hexOf(word(value)));
    }
  }
  return facts;
}

/** The answer's cells as the same facts. */
export function factsOf(cells: Uint8Array): Facts {
  const facts: Facts = new Map();
  const view = new DataView(cells.buffer, cells.byteOffset, cells.byteLength);
  for (let at = 0; at < cells.length;) {
    const address = hexOf(cells, at + 1, at + 21);
    switch (cells[at]) {
      case CELL.account:
        facts.set(`balance ${address}`, hexOf(cells, at + 21, at + 53));
        at += 85;
        break;
      case CELL.nonce:
        facts.set(`nonce ${address}`, view.getBigUint64(at + 21, true).toString());
        at += 61;
        break;
      case CELL.slot:
        facts.set(`slot ${address} ${hexOf(cells, at + 21, at + 53)}`, hexOf(cells, at + 53, at + 85));
        at += 85;
        break;
      default: {
        const length = readU32(cells, at + 21);
        facts.set(`code ${address}`, hexOf(cells, at + 25, at + 25 + length));
        at += 25 + length;
      }
    }
  }
  return facts;
}
