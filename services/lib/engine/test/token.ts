/** An OpenZeppelin ERC-20, compiled from its published sources. */
import { assert, concatBytes } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as chain from "./chain.ts";

const require = createRequire(import.meta.url);
const SOURCE = `// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;
import "@openzeppelin/contracts/token/ERC20/ERC20.sol";
contract Token is ERC20 {
  constructor(address owner) ERC20("Token", "TOK") { _mint(owner, 10**30); }
}`;

export interface Token {
  /** Init code whose constructor gives everything to `owner`. */
  creation(owner: Uint8Array): Uint8Array;
  /** Where a holder's balance stands. */
  balanceSlot(holder: Uint8Array): Uint8Array;
}

interface Compiler {
  compile(input: string, callbacks: { import: (path: string) => { contents: string } }): string;
}

interface Compiled {
  errors?: { severity: string; formattedMessage: string }[];
  contracts: Record<string, Record<string, { evm: { bytecode: { object: string } } }>>;
}

export function compileToken(): Token {
  const compiler = require("solc") as Compiler;
  const input = {
    language: "Solidity",
    sources: { "Token.sol": { content: SOURCE } },
    settings: {
      optimizer: { enabled: true, runs: 200 },
      evmVersion: "cancun",
      outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
    },
  };
  const read = (path: string): { contents: string } => ({ contents: readFileSync(require.resolve(path), "utf8") });
  const output = JSON.parse(compiler.compile(JSON.stringify(input), { import: read })) as Compiled;
  const failed = output.errors?.find(({ severity }) => severity === "error");
  assert(failed === undefined, failed?.formattedMessage ?? "");
  const code = chain.bytes(output.contracts["Token.sol"]!["Token"]!.evm.bytecode.object);
  return {
    creation: (owner) => concatBytes([code, padded(owner)]),
    // `_balances` is the contract's first variable: keccak256(holder . 0).
    balanceSlot: (holder) => keccak_256(concatBytes([padded(holder), new Uint8Array(32)])),
  };
}

const padded = (address: Uint8Array): Uint8Array => concatBytes([new Uint8Array(12), address]);

/** transfer(address,uint256) */
export const transferData = (to: Uint8Array, amount: bigint): Uint8Array =>
  concatBytes([chain.bytes("a9059cbb"), padded(to), chain.word(amount)]);

/** balanceOf(address) */
export const balanceOfData = (holder: Uint8Array): Uint8Array => concatBytes([chain.bytes("70a08231"), padded(holder)]);
