/** Two archives: byte-identical blocks, and either answers for what was acknowledged a moment ago. */
import { SUBJECT, connectBus, decodeBuilt } from "@meridian/bus";
import { expect, test, vi } from "vitest";
import { type TestAccount, testAccounts } from "../../src/accounts.ts";
import { runDemo } from "../../src/demo/demo.ts";
import { sign } from "../../src/workload/sign.ts";
import { nextNonces } from "../../src/workload/token.ts";
import { CHAIN_ID } from "../cluster.ts";
import { PARTITIONS, on } from "./shared.ts";

/** Also what the replay of the last suite is mostly about. */
const TRANSFERS = 3_000;

test("both build the same blocks of the demo's transfers", async () => {
  const bus = await connectBus({ url: on.cluster.natsUrl, name: "test", durability: "process" });
  const hashes = new Map<string, Map<number, string>>();
  bus.wire.subscribe(SUBJECT.built, ({ payload }) => {
    const { archive, number, hash } = decodeBuilt(payload);
    let own = hashes.get(archive);
    if (own === undefined) hashes.set(archive, (own = new Map<number, string>()));
    own.set(number, Buffer.from(hash).toString("hex"));
  });
  try {
    const options = { rpcUrl: on.cluster.rpcUrl, chainId: CHAIN_ID, accounts: 250, transfers: TRANSFERS, say: () => undefined };
    const { blocks, tokens } = await runDemo(options);
    expect(tokens.map(({ partition }) => partition)).toEqual(Array.from({ length: PARTITIONS }, (_, partition) => partition));
    expect(blocks).toBeGreaterThan(0);
    await vi.waitFor(() => expect(hashes.size).toBe(2), { timeout: 10_000 });
    const [left, right] = [...hashes.values()] as [Map<number, string>, Map<number, string>];
    const both = [...left.keys()].filter((number) => right.has(number));
    expect(both.length).toBeGreaterThan(blocks / 2);
    for (const number of both) expect(left.get(number)).toBe(right.get(number));
  } finally {
    await bus.close();
  }
});

test("what was just acknowledged is found on either archive, through either gateway", async () => {
  const sender = testAccounts(1, 90)[0] as TestAccount;
  let [nonce = 0] = await nextNonces(on.rpc, [sender]);
  for (let round = 0; round < 20; round++, nonce++) {
    const transaction = { nonce, to: sender.addressBytes, data: new Uint8Array(0), valueWei: 0n, gasLimit: 21_000 };
    const { raw, hash } = sign(CHAIN_ID, sender, transaction);
    expect(await on.rpc.call("eth_sendRawTransaction", raw)).toBe(hash);
    for (let read = 0; read < 3; read++) expect(await on.rpc.call("eth_getTransactionByHash", hash)).toMatchObject({ hash });
    expect(await nextNonces(on.rpc, [sender])).toEqual([nonce + 1]);
  }
});
