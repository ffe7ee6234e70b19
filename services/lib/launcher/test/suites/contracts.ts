/** Unmodified OpenZeppelin contracts through the two libraries that most applications use. */
import { Contract, ContractFactory, JsonRpcProvider, Wallet } from "ethers";
import {
  type PublicClient,
  type WalletClient,
  createPublicClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  getContract,
  http,
  keccak256,
  parseEther,
  toHex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { beforeAll, expect, test, vi } from "vitest";
import { type TestAccount, prefundedAccounts, privateKeyHex, testAccounts } from "../../src/accounts.ts";
import { type CompiledContract, compile } from "../../src/workload/compile.ts";
import { createdAddress, nextNonces } from "../../src/workload/token.ts";
import { CHAIN_ID, type TestCluster } from "../cluster.ts";
import { on } from "./shared.ts";

let token: CompiledContract;

beforeAll(() => {
  token = contractOf(compile("DemoToken.sol"), "DemoToken");
});

function contractOf(contracts: Record<string, CompiledContract>, name: string): CompiledContract {
  const contract = contracts[name];
  expect(contract, name).toBeDefined();
  return contract as CompiledContract;
}

/** The first test account whose next contract falls on the partition. */
async function deployerOn({ rpc, ranges }: TestCluster, partition: number): Promise<TestAccount> {
  const accounts = testAccounts(60);
  const nonces = await nextNonces(rpc, accounts);
  const index = accounts.findIndex(
    (account, place) => ranges.ownerOf(createdAddress(account, nonces[place] ?? 0), 0) === partition,
  );
  const account = accounts[index];
  expect(account, `a deployer on partition ${partition}`).toBeDefined();
  return account as TestAccount;
}

function viemOf({ cluster }: TestCluster, account: TestAccount): { open: PublicClient; wallet: WalletClient } {
  const chain = defineChain({
    id: CHAIN_ID,
    name: "meridian",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [cluster.rpcUrl] } },
  });
  const options = { chain, transport: http(cluster.rpcUrl), pollingInterval: 50 };
  return {
    open: createPublicClient(options),
    wallet: createWalletClient({ ...options, account: privateKeyToAccount(privateKeyHex(account)) }),
  };
}

test.each([0, 2, 5, 7])("viem deploys and calls an ERC20 on partition %i", async (partition) => {
  const deployer = await deployerOn(on, partition);
  const receiver = prefundedAccounts()[7]?.address ?? "0x";
  const { open, wallet } = viemOf(on, deployer);
  const { abi, bytecode } = token;
  const account = wallet.account ?? null;
  const args = ["Token", "TOK", [deployer.address], 1000n];
  const deployed = await wallet.deployContract({ abi, bytecode, args, account, chain: wallet.chain ?? null });
  const receipt = await open.waitForTransactionReceipt({ hash: deployed });
  expect(receipt.status).toBe("success");
  const address = receipt.contractAddress ?? "0x";
  expect(on.ranges.ownerOf(Buffer.from(address.slice(2), "hex"), 0)).toBe(partition);
  const call = { abi, address, account, chain: wallet.chain ?? null } as const;
  const sent = await wallet.writeContract({ ...call, functionName: "transfer", args: [receiver, 300n] });
  const moved = await open.waitForTransactionReceipt({ hash: sent });
  expect([moved.status, moved.logs.length, moved.effectiveGasPrice]).toEqual(["success", 1, 0n]);
  const contract = getContract({ address, abi, client: open });
  expect(await contract.read["balanceOf"]?.([receiver])).toBe(300n);
  expect(await contract.read["symbol"]?.()).toBe("TOK");
  const events = await open.getContractEvents({ address, abi, eventName: "Transfer", fromBlock: 0n });
  expect(events).toHaveLength(2);
  const refused = wallet.writeContract({ ...call, functionName: "transfer", args: [receiver, 5000n] });
  await expect(refused).rejects.toThrow("ERC20InsufficientBalance");
});

/** Without its cache: within 250 ms ethers would hand out a nonce twice, and a transaction is in a block here before that. */
const ETHERS_OPTIONS = { staticNetwork: true, pollingInterval: 50, cacheTimeout: -1 };

test.each([0, 2, 5, 7])("ethers deploys and calls an ERC20 on partition %i", async (partition) => {
  const deployer = await deployerOn(on, partition);
  const receiver = prefundedAccounts()[8]?.address ?? "";
  const provider = new JsonRpcProvider(on.cluster.rpcUrl, CHAIN_ID, ETHERS_OPTIONS);
  const wallet = new Wallet(privateKeyHex(deployer), provider);
  try {
    const factory = new ContractFactory(token.abi as never, token.bytecode, wallet);
    const deployed = await factory.deploy("Token", "TOK", [deployer.address], 1000n);
    await deployed.waitForDeployment();
    const contract = new Contract(await deployed.getAddress(), token.abi as never, wallet);
    const sent = (await contract.getFunction("transfer")(receiver, 250n)) as { wait(): Promise<{ status: number } | null> };
    expect((await sent.wait())?.status).toBe(1);
    expect(await contract.getFunction("balanceOf")(receiver)).toBe(250n);
    await expect(contract.getFunction("transfer")(receiver, 5000n)).rejects.toThrow(
      /ERC20InsufficientBalance|execution reverted/,
    );
  } finally {
    provider.destroy();
  }
});

test("ERC721 and Governor over 8 partitions: minted, safely transferred, proposed, voted, executed", async () => {
  await collectible(on);
  await governance(on);
});

type Write = (contract: CompiledContract, address: `0x${string}`, functionName: string, args: unknown[]) => Promise<void>;

/** Deploys and writes as one account, waiting for each receipt. */
function actor(on: TestCluster, account: TestAccount) {
  const { open, wallet } = viemOf(on, account);
  const sender = { account: wallet.account ?? null, chain: wallet.chain ?? null };
  const confirm = async (hash: `0x${string}`) => {
    const receipt = await open.waitForTransactionReceipt({ hash });
    expect(receipt.status).toBe("success");
    return receipt;
  };
  const deploy = async ({ abi, bytecode }: CompiledContract, args: unknown[]) =>
    (await confirm(await wallet.deployContract({ abi: abi, bytecode, args, ...sender }))).contractAddress ?? "0x";
  const write: Write = async ({ abi }, address, functionName, args) => {
    await confirm(await wallet.writeContract({ abi, address, functionName, args, ...sender }));
  };
  const read = (contract: CompiledContract, address: `0x${string}`, functionName: string, args: unknown[] = []) =>
    open.readContract({ abi: contract.abi, address, functionName, args });
  return { open, deploy, write, read };
}

async function collectible(on: TestCluster): Promise<void> {
  const [owner, other] = [await deployerOn(on, 1), await deployerOn(on, 6)];
  const contracts = compile("TestCollectible.sol");
  const [contract, holder] = [contractOf(contracts, "TestCollectible"), contractOf(contracts, "TestHolder")];
  const { deploy, write, read } = actor(on, owner);
  const address = await deploy(contract, []);
  const holderAt = (await actor(on, other).deploy(holder, [])).toLowerCase();
  const partitionOf = (at: string) => on.ranges.ownerOf(Buffer.from(at.slice(2), "hex"), 0);
  expect([partitionOf(address), partitionOf(holderAt)]).toEqual([1, 6]);
  await write(contract, address, "mint", [owner.address, 7n]);
  await write(contract, address, "mint", [owner.address, 8n]);
  await write(contract, address, "safeTransferFrom", [owner.address, other.address, 7n]);
  expect(String(await read(contract, address, "ownerOf", [7n])).toLowerCase()).toBe(other.address);
  await write(contract, address, "safeTransferFrom", [owner.address, holderAt, 8n]);
  expect(String(await read(contract, address, "ownerOf", [8n])).toLowerCase()).toBe(holderAt);
  // A contract that takes none refuses, from its own partition.
  await expect(write(contract, address, "safeTransferFrom", [owner.address, address, 8n])).rejects.toThrow();
  await expect(write(contract, address, "mint", [owner.address, 7n])).rejects.toThrow("ERC721InvalidSender");
}

async function governance(on: TestCluster): Promise<void> {
  const voter = prefundedAccounts()[2] as TestAccount;
  const contracts = compile("TestGovernance.sol");
  const [votes, governor] = [contractOf(contracts, "TestVotes"), contractOf(contracts, "TestGovernor")];
  const { deploy, write, read } = actor(on, voter);
  const votesAt = await deploy(votes, []);
  const governorAt = await deploy(governor, [votesAt]);
  await write(votes, votesAt, "delegate", [voter.address]);
  expect(await read(votes, votesAt, "getVotes", [voter.address])).toBe(parseEther("100"));
  const setNumber = encodeFunctionData({ abi: governor.abi, functionName: "setNumber", args: [42n] });
  const proposal = [[governorAt], [0n], [setNumber]];
  await write(governor, governorAt, "propose", [...proposal, "set the number"]);
  const hash = keccak256(toHex("set the number"));
  const id = await read(governor, governorAt, "hashProposal", [...proposal, hash]);
  const reaches = (state: number) =>
    vi.waitFor(async () => expect(await read(governor, governorAt, "state", [id])).toBe(state), {
      timeout: 20_000,
      interval: 50,
    });
  await reaches(1); // Active
  await write(governor, governorAt, "castVote", [id, 1]);
  await reaches(4); // Succeeded
  await write(governor, governorAt, "execute", [...proposal, hash]);
  expect(await read(governor, governorAt, "number")).toBe(42n);
}
