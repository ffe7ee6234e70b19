/**
 * Contracts in which each holder has a balance, spread evenly over the address space: ERC-20 transfers and NFT mints.
 *
 * T1. Holder h belongs to contract h mod `contracts`; the first holders are the senders. So all calls of one sender go to one
 *     contract, as those of a payment service go to its token, and a batch stays on one partition.
 * T2. Every holder of a token owns something before the load begins, so that a transfer changes cells and makes none.
 */
import { assert, bytesOfHex, concatBytes, hexOf } from "@meridian/core";
import { type CompiledContract, type TestAccount, compile, createdAddress, loadAccounts } from "@meridian/launcher";
import { type Hex, encodeAbiParameters, encodeFunctionData } from "viem";
import { bits, drawBelow, seedNumber } from "../draw.ts";
import { type Setup, DEPLOY_GAS_LIMIT, deployerIn } from "../setup.ts";
import type { BalanceReader, Call, Ledger, Scenario, ScenarioOptions } from "./scenario.ts";

/** What each holder of a token gets; far more than it can send. */
const EACH = 1_000_000_000_000n;
/** New holders in one mint: each costs about 25,000 gas. */
const MINTED_MAX = 500;
const AMOUNT_MAX = 100;
const TRANSFER_GAS_LIMIT = 60_000;
const MINT_GAS_LIMIT = 120_000;
const ADDRESS_BYTES = 20;
const WORD = 32;

/** transfer(address,uint256) of ERC-20 and mint(address,uint256) of TestCollectible.sol: the same layout. */
const SELECTORS = { erc20: [0xa9, 0x05, 0x9c, 0xbb], nft: [0x40, 0xc1, 0x0f, 0x19] };

export type TokenKind = keyof typeof SELECTORS;

/** 20 bytes of every holder; those behind the senders are nobody's. */
function holderAddresses(senders: readonly TestAccount[], count: number, seed: number): Uint8Array {
  const addresses = new Uint8Array(count * ADDRESS_BYTES);
  const view = new DataView(addresses.buffer);
  for (let holder = 0; holder < count; holder++) {
    const sender = senders[holder];
    if (sender !== undefined) addresses.set(sender.addressBytes, holder * ADDRESS_BYTES);
    else for (let word = 0; word < 5; word++) view.setUint32(holder * ADDRESS_BYTES + 4 * word, bits(seed, holder, 100 + word));
  }
  return addresses;
}

export function openTokens(kind: TokenKind, options: ScenarioOptions): Scenario {
  const { seed, contracts } = options;
  const number = seedNumber(`${seed}/${kind}`);
  const senders = loadAccounts(options.senders, `${seed}/${kind}`);
  const holders = Math.max(options.holders, senders.length, contracts);
  const addresses = holderAddresses(senders, holders, number);
  const deployers = Array.from({ length: contracts }, (_, token) =>
    deployerIn(token, contracts, (attempt) => {
      const [account] = loadAccounts(1, `${seed}/${kind}/${token}/${attempt}`);
      return account as TestAccount;
    }),
  );
  const tokens = deployers.map((deployer) => createdAddress(deployer, 0));
  const placed: Placed = { kind, deployers, tokens, addresses };
  const ofToken = (token: number): number => Math.ceil((holders - token) / contracts);
  const data = new Uint8Array(4 + 2 * WORD);
  data.set(SELECTORS[kind]);
  const view = new DataView(data.buffer);
  const gasLimit = kind === "erc20" ? TRANSFER_GAS_LIMIT : MINT_GAS_LIMIT;
  const receiverOf = (call: number, token: number): number => token + contracts * drawBelow(ofToken(token), number, call, 1);
  const amountOf = (call: number): number => 1 + drawBelow(AMOUNT_MAX, number, call, 2);
  return {
    senders,
    deployers,
    pins: {},
    dataBytesMax: data.length,
    firstNonce: () => 0,
    deploy: (setup) => deploy(setup, placed),
    call(call, sender): Call {
      const token = sender % contracts;
      const receiver = receiverOf(call, token) * ADDRESS_BYTES;
      data.set(addresses.subarray(receiver, receiver + ADDRESS_BYTES), 16);
      view.setUint32(4 + 2 * WORD - 4, kind === "erc20" ? amountOf(call) : call);
      return { to: tokens[token]!, data, gasLimit };
    },
    ledger() {
      const moved = new Float64Array(holders);
      return {
        apply(call, sender) {
          const receiver = receiverOf(call, sender % contracts);
          const amount = kind === "erc20" ? amountOf(call) : 1;
          if (kind === "erc20") moved[sender]! -= amount;
          moved[receiver]! += amount;
        },
        check: (reader) => checkBalances(reader, placed, moved, kind === "erc20" ? EACH : 0n),
      } satisfies Ledger;
    },
  };
}

/** Holders of one token, as wallets' libraries write addresses. */
function holdersOf(addresses: Uint8Array, token: number, tokens: number): Hex[] {
  const holders: Hex[] = [];
  for (let at = token * ADDRESS_BYTES; at < addresses.length; at += tokens * ADDRESS_BYTES) {
    holders.push(`0x${hexOf(addresses.subarray(at, at + ADDRESS_BYTES))}`);
  }
  return holders;
}

interface Placed {
  kind: TokenKind;
  deployers: readonly TestAccount[];
  tokens: readonly Uint8Array[];
  addresses: Uint8Array;
}

async function deploy(setup: Setup, { kind, deployers, tokens, addresses }: Placed): Promise<void> {
  const holders = addresses.length / ADDRESS_BYTES;
  setup.say(`deploying ${tokens.length} contracts for ${holders} holders in all`);
  const { code, mint } = kind === "erc20" ? demoToken() : collectible();
  await setup.confirm(deployers.map((deployer, token) => setup.create(deployer, 0, code(token))));
  const groups = kind === "erc20" ? tokens.map((_, token) => holdersOf(addresses, token, tokens.length)) : [];
  const waves = Math.max(0, ...groups.map((group) => Math.ceil(group.length / MINTED_MAX)));
  for (let wave = 0; wave < waves; wave++) {
    const minted = groups.flatMap((group, token) => {
      const part = group.slice(wave * MINTED_MAX, (wave + 1) * MINTED_MAX);
      const transaction = { nonce: wave + 1, to: tokens[token]!, data: mint(part), gasLimit: DEPLOY_GAS_LIMIT };
      return part.length === 0 ? [] : [setup.sign(deployers[token]!, transaction)];
    });
    await setup.confirm(minted);
  }
}

/** Code to deploy, and calldata that gives each of some accounts its first balance. */
interface Code {
  code: (token: number) => Uint8Array;
  mint: (holders: readonly Hex[]) => Uint8Array;
}

function contractOf(file: Parameters<typeof compile>[0], name: string): CompiledContract {
  const contract = compile(file)[name];
  assert(contract !== undefined, `${file} holds ${name}`);
  return contract;
}

function demoToken(): Code {
  const { abi, initCode } = contractOf("DemoToken.sol", "DemoToken");
  const types = [{ type: "string" }, { type: "string" }, { type: "address[]" }, { type: "uint256" }] as const;
  return {
    code: (token) => concatBytes([initCode, bytesOfHex(encodeAbiParameters(types, [`Load ${token}`, `L${token}`, [], 0n]))]),
    mint: (holders) => bytesOfHex(encodeFunctionData({ abi, functionName: "mint", args: [holders, EACH] })),
  };
}

/** Collectibles are minted by the load itself. */
function collectible(): Code {
  const { initCode } = contractOf("TestCollectible.sol", "TestCollectible");
  return { code: () => initCode, mint: () => new Uint8Array(0) };
}

async function checkBalances(
  reader: BalanceReader,
  { tokens, addresses }: Placed,
  moved: Float64Array,
  each: bigint,
): Promise<{ checked: number; wrong: string[] }> {
  const wrong: string[] = [];
  for (const [token, bytes] of tokens.entries()) {
    const contract = `0x${hexOf(bytes)}`;
    const holders = holdersOf(addresses, token, tokens.length);
    const balances = await reader.balances(contract, holders);
    for (const [index, holder] of holders.entries()) {
      const want = each + BigInt(moved[token + index * tokens.length] ?? 0);
      if (balances[index] !== want) wrong.push(`${contract} says ${balances[index]} for ${holder}, the calls make ${want}`);
    }
  }
  return { checked: addresses.length / ADDRESS_BYTES, wrong };
}
