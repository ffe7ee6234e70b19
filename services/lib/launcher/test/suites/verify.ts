/** The published chain against a second EVM: right as it is, and every planted change is found and named. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { RpcSource, describeDifference, verify } from "@meridian/verify";
import { expect, test } from "vitest";
import { testAccounts } from "../../src/accounts.ts";
import { on } from "./shared.ts";

const options = { from: 1, snapshot: false, differencesMax: 3 };
/** The demo's transfers alone; every suite has sent something. */
const TRANSACTIONS_MIN = 3_000;

test("what all suites did replays without a difference", { timeout: 300_000 }, async () => {
  const verified = await verify(new RpcSource(on.cluster.rpcUrl), options);
  expect(verified.differences.map(describeDifference)).toEqual([]);
  expect(verified.transactions).toBeGreaterThan(TRANSACTIONS_MIN);
  // Vaults, collectibles and votes.
  expect(verified.crossed).toBeGreaterThan(500);
});

/** A gateway that tells one block differently. */
async function tampering(
  change: (block: { number: number; header: string; results: string }) => void,
): Promise<{ url: string; close: () => void }> {
  const server = createServer((incoming, outgoing) => {
    const parts: Buffer[] = [];
    incoming.on("data", (part: Buffer) => parts.push(part));
    incoming.on("end", () => {
      const body = Buffer.concat(parts).toString();
      void on.rpc.post(body).then((text) => {
        const { method, params } = JSON.parse(body) as { method: string; params: string[] };
        if (method !== "meridian_block") return outgoing.end(text);
        const answer = JSON.parse(text) as { result: { header: string; results: string } };
        const block = { ...answer.result, number: Number(params[0]) };
        change(block);
        return outgoing.end(JSON.stringify({ ...answer, result: block }));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

test("a wrong receipt is found and named", async () => {
  const first = await firstFullBlock();
  const proxy = await tampering((block) => {
    if (block.number !== first) return;
    const bytes = Buffer.from(block.results.slice(2), "hex");
    bytes.writeUInt32LE(bytes.readUInt32LE(16) + 1, 16); // gasUsed of the first result
    block.results = `0x${bytes.toString("hex")}`;
  });
  const { differences } = await verify(new RpcSource(proxy.url), { ...options, to: first });
  proxy.close();
  const [found] = differences.map(describeDifference);
  expect(found).toMatch(
    new RegExp(`^block ${first}, transaction 0 \\(0x[0-9a-f]{64}\\), gasUsed: published \\d+, replayed \\d+$`),
  );
});

/** The first block with transactions. */
async function firstFullBlock(): Promise<number> {
  for (let number = 1; ; number++) {
    const block = await on.rpc.call<{ transactions: string[] }>("eth_getBlockByNumber", `0x${number.toString(16)}`, false);
    if (block.transactions.length > 0) return number;
  }
}

test("the accounts of the demo need no ETH", async () => {
  const poor = testAccounts(1, 400)[0]?.address;
  expect(await on.rpc.call("eth_getBalance", poor, "latest")).toBe("0x0");
});
