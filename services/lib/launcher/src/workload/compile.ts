/** Compiles this package's contracts with solc; imports come from npm packages. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { IoError, bytesOfHex } from "@meridian/core";
import type { Abi } from "viem";

export interface CompiledContract {
  abi: Abi;
  /** Code to deploy, without constructor arguments. */
  initCode: Uint8Array;
  bytecode: `0x${string}`;
}

interface SolcOutput {
  errors?: { severity: string; formattedMessage: string }[];
  contracts?: Record<string, Record<string, { abi: Abi; evm: { bytecode: { object: string } } }>>;
}
interface Solc {
  compile(input: string, callbacks: { import: (path: string) => { contents: string } | { error: string } }): string;
}

export type ContractFile =
  "DemoToken.sol" | "TestCollectible.sol" | "TestForwarder.sol" | "TestGovernance.sol" | "TestHistory.sol" | "TestVaults.sol";

const require = createRequire(import.meta.url);

/**
 * Loads the compiler (about a second) and compiles one file of `contracts/`.
 * @returns its contracts by name
 * @throws IoError COMPILE with the compiler's words
 */
export function compile(file: ContractFile): Record<string, CompiledContract> {
  const solc = require("solc") as Solc;
  const content = readFileSync(new URL(`../../contracts/${file}`, import.meta.url), "utf8");
  const input = {
    language: "Solidity",
    sources: { [file]: { content } },
    settings: {
      optimizer: { enabled: true, runs: 200 },
      evmVersion: "osaka",
      outputSelection: { [file]: { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readImport })) as SolcOutput;
  const failures = (output.errors ?? []).filter(({ severity }) => severity === "error");
  if (failures.length > 0)
    throw new IoError({ code: "COMPILE", text: failures.map((failure) => failure.formattedMessage).join("\n") }, "never");
  const contracts = Object.entries(output.contracts?.[file] ?? {});
  return Object.fromEntries(
    contracts.map(([name, { abi, evm }]) => {
      const bytecode: `0x${string}` = `0x${evm.bytecode.object}`;
      return [name, { abi, initCode: bytesOfHex(bytecode), bytecode }];
    }),
  );
}

function readImport(path: string): { contents: string } | { error: string } {
  try {
    return { contents: readFileSync(require.resolve(path), "utf8") };
  } catch (error) {
    return { error: String(error) }; // The compiler names it together with the line that imports it.
  }
}
