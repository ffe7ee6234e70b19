/** Bad input from end to end: each gets its error, in geth's words where geth has words, and has no effect. */
import { expect, test } from "vitest";
import { type TestAccount, testAccounts } from "../../src/accounts.ts";
import { type Unsigned, sign } from "../../src/workload/sign.ts";
import { nextNonces } from "../../src/workload/token.ts";
import { CHAIN_ID } from "../cluster.ts";
import { on } from "./shared.ts";

const accounts = testAccounts(3);
const [sender, receiver] = accounts as [TestAccount, TestAccount];

const pay: Unsigned = { nonce: 0, to: receiver.addressBytes, data: new Uint8Array(0), valueWei: 0n, gasLimit: 21_000 };
const rawOf = (change: Partial<Unsigned> = {}, chainId = CHAIN_ID): string => sign(chainId, sender, { ...pay, ...change }).raw;

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** The envelope with another signature: its last 66 bytes are 0xa0 r 0xa0 s unless r or s is short, which is asserted. */
function withSignature(change: (r: bigint, s: bigint) => [bigint, bigint]): string {
  const raw = rawOf();
  expect([raw.slice(-132, -130), raw.slice(-66, -64)]).toEqual(["a0", "a0"]);
  const [r, s] = change(BigInt(`0x${raw.slice(-130, -66)}`), BigInt(`0x${raw.slice(-64)}`));
  const word = (value: bigint) => value.toString(16).padStart(64, "0");
  return `${raw.slice(0, -130)}${word(r)}a0${word(s)}`;
}

/** Asserts that nothing of an account or the chain has moved but time. */
async function unchanged(act: () => Promise<void>): Promise<void> {
  const before = await nextNonces(on.rpc, accounts);
  await act();
  expect(await nextNonces(on.rpc, accounts)).toEqual(before);
}

test.each<[what: string, raw: () => string, code: number, message: RegExp]>([
  ["malformed RLP", () => "0x02f8ffff", -32000, /^rlp: /],
  ["bytes after the end", () => `${rawOf()}00`, -32000, /^rlp: /],
  ["no bytes", () => "0x", -32000, /too short/],
  ["wrong chain id", () => rawOf({}, 1), -32000, /chain id/],
  ["a bad signature", () => withSignature((_r, s) => [ORDER, s]), -32000, /invalid transaction v, r, s values/],
  ["high s", () => withSignature((r, s) => [r, ORDER - s]), -32000, /invalid transaction v, r, s values/],
  ["too far in the future", () => rawOf({ nonce: 100_000 }), -32000, /nonce too high/],
  ["gas above the cap of a transaction", () => rawOf({ gasLimit: 16_777_217 }), -32000, /gas limit/i],
  ["gas below what the call data needs", () => rawOf({ gasLimit: 20_999 }), -32000, /intrinsic gas/i],
  ["too large", () => rawOf({ data: new Uint8Array(140_000), gasLimit: 16_000_000 }), -32000, /oversized data/],
  ["blob transaction", () => `0x03${rawOf().slice(4)}`, -32000, /type not supported/i],
])("%s is refused without effect", async (_what, raw, code, message) => {
  await unchanged(async () => {
    const [answer] = await on.rpc.batch([{ method: "eth_sendRawTransaction", params: [raw()] }]);
    expect(answer).toMatchObject({ error: { code } });
    expect((answer as { error: { message: string } }).error.message).toMatch(message);
  });
});

test("a nonce that was used is too low, and the same transaction again answers its hash", async () => {
  const [nonce = 0] = await nextNonces(on.rpc, [sender]);
  const first = sign(CHAIN_ID, sender, { ...pay, nonce });
  expect(await on.rpc.call("eth_sendRawTransaction", first.raw)).toBe(first.hash);
  await unchanged(async () => {
    const other = sign(CHAIN_ID, sender, { ...pay, nonce, gasLimit: 22_000 });
    await expect(on.rpc.call("eth_sendRawTransaction", other.raw)).rejects.toThrow("nonce too low");
    expect(await on.rpc.call("eth_sendRawTransaction", first.raw)).toBe(first.hash);
  });
});

test.each<[what: string, body: string, want: object]>([
  ["no JSON", "{", { error: { code: -32700 } }],
  ["no request", "[]", { error: { code: -32600 } }],
  ["unknown method", '{"jsonrpc":"2.0","id":5,"method":"eth_nothing","params":[]}', { id: 5, error: { code: -32601 } }],
  [
    "missing parameter",
    '{"jsonrpc":"2.0","id":6,"method":"eth_sendRawTransaction","params":[]}',
    { id: 6, error: { code: -32602 } },
  ],
  ["no hex", '{"jsonrpc":"2.0","id":7,"method":"eth_sendRawTransaction","params":["0xzz"]}', { id: 7, error: { code: -32602 } }],
])("%s has JSON-RPC's own error", async (_what, body, want) => {
  await unchanged(async () => expect(JSON.parse(await on.rpc.post(body))).toMatchObject(want));
});

test("an oversized batch is refused as a whole", async () => {
  const call = '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}';
  const answer: unknown = JSON.parse(await on.rpc.post(`[${Array.from({ length: 20_000 }, () => call).join(",")}]`));
  const [first] = Array.isArray(answer) ? (answer as unknown[]) : [answer];
  expect(first).toMatchObject({ error: { message: expect.stringMatching(/batch|large/i) as unknown } });
});
