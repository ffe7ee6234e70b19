/** Two vaults on two partitions whose total is constant: no read at a block ever sees half of a transaction. */
import { bytesOfHex, concatBytes } from "@meridian/core";
import { encodeAbiParameters, encodeFunctionData } from "viem";
import { expect, test } from "vitest";
import { type TestAccount, testAccounts } from "../../src/accounts.ts";
import { type CompiledContract, compile } from "../../src/workload/compile.ts";
import { sendLane } from "../../src/workload/send.ts";
import { type Signed, sign } from "../../src/workload/sign.ts";
import { createdAddress, nextNonces, sendAndConfirm } from "../../src/workload/token.ts";
import { CHAIN_ID } from "../cluster.ts";
import { on } from "./shared.ts";

const READS = 1_000;
const MOVERS = 16;
const MOVES_EACH = 40;
const HELD = 1_000_000n;
const GAS_LIMIT = 1_000_000;

const accounts = testAccounts(60);
const movers = accounts.slice(0, MOVERS);

function contractOf(name: string): CompiledContract {
  const contract = compile("TestVaults.sol")[name];
  expect(contract, name).toBeDefined();
  return contract as CompiledContract;
}

/** Deploys on the wanted partition: by an account whose first contract falls there. */
async function deploy(contract: CompiledContract, args: Uint8Array, partition: number): Promise<Uint8Array> {
  const nonces = await nextNonces(on.rpc, accounts);
  const index = accounts.findIndex(
    (account, at) => at >= MOVERS && on.ranges.ownerOf(createdAddress(account, nonces[at] ?? 0), 0) === partition,
  );
  const [deployer, nonce] = [accounts[index] as TestAccount, nonces[index] ?? 0];
  const data = concatBytes([contract.initCode, args]);
  await sendAndConfirm(on.rpc, [sign(CHAIN_ID, deployer, { nonce, to: null, data, valueWei: 0n, gasLimit: GAS_LIMIT })]);
  return createdAddress(deployer, nonce);
}

const hex = (bytes: Uint8Array): `0x${string}` => `0x${Buffer.from(bytes).toString("hex")}`;

test("1,000 reads during transfers see the total", { timeout: 240_000 }, async () => {
  const [vault, total] = [contractOf("TestVault"), contractOf("TestTotal")];
  const held = bytesOfHex(encodeAbiParameters([{ type: "uint256" }], [HELD]));
  const one = await deploy(vault, held, 2);
  const other = await deploy(vault, held, 5);
  const reader = await deploy(total, new Uint8Array(0), 7);
  const nonces = await nextNonces(on.rpc, movers);
  const moves = movers.flatMap((mover, index): Signed[] =>
    Array.from({ length: MOVES_EACH }, (_, number) => {
      const nonce = (nonces[index] ?? 0) + number;
      const [from, to] = (index + number) % 2 === 0 ? [one, other] : [other, one];
      const args = [hex(to), BigInt(1 + ((index * 7 + number) % 50))];
      const data = bytesOfHex(encodeFunctionData({ abi: vault.abi, functionName: "moveTo", args }));
      return sign(CHAIN_ID, mover, { nonce, to: from, data, valueWei: 0n, gasLimit: GAS_LIMIT });
    }),
  );
  const data = encodeFunctionData({ abi: total.abi, functionName: "total", args: [hex(one), hex(other)] });
  const request = { method: "eth_call", params: [{ to: hex(reader), data }, "latest"] };
  const sending = sendLane(on.rpc, moves, { batch: 20, stallMsMax: 30_000, isPatient: true });
  const seen = new Set<unknown>();
  for (let read = 0; read < READS; read += 20) {
    const answers = await on.rpc.batch(Array.from({ length: 20 }, () => request));
    for (const answer of answers) seen.add("result" in answer ? BigInt(answer.result as string) : answer.error.message);
  }
  await sending;
  expect([...seen]).toEqual([2n * HELD]);
  for (const { hash } of moves) {
    await expect
      .poll(() => on.rpc.call<{ status: string } | null>("eth_getTransactionReceipt", hash), { timeout: 30_000, interval: 100 })
      .toMatchObject({ status: "0x1" });
  }
});
