/** Contracts that others published, exactly as their npm packages hold them. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { IoError, bytesOfHex } from "@meridian/core";
import type { Abi } from "viem";
import type { CompiledContract } from "./compile.ts";

const FILES = {
  UniswapV2Factory: "@uniswap/v2-core/build/UniswapV2Factory.json",
  UniswapV2Pair: "@uniswap/v2-core/build/UniswapV2Pair.json",
  UniswapV2Router02: "@uniswap/v2-periphery/build/UniswapV2Router02.json",
  WETH9: "@uniswap/v2-periphery/build/WETH9.json",
} as const;

export type ArtifactName = keyof typeof FILES;

const read = new Map<ArtifactName, CompiledContract>();

/** @throws IoError ARTIFACT if the package's file is not what it should be */
export function artifact(name: ArtifactName): CompiledContract {
  const known = read.get(name) ?? readArtifact(name);
  read.set(name, known);
  return known;
}

function readArtifact(name: ArtifactName): CompiledContract {
  const file = fileURLToPath(import.meta.resolve(FILES[name]));
  const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8")) as { abi?: Abi; bytecode?: string };
  if (abi === undefined || bytecode === undefined || !/^(0x)?[0-9a-f]+$/i.test(bytecode)) {
    throw new IoError({ code: "ARTIFACT", file }, "never");
  }
  const code: `0x${string}` = `0x${bytecode.replace(/^0x/, "")}`;
  return { abi, bytecode: code, initCode: bytesOfHex(code) };
}
