import { SUBMIT } from "@meridian/core";
import { RLP } from "@ethereumjs/rlp";
import { keccak256, parseEther, toHex } from "viem";
import type { Hex } from "viem";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ACCEPTED_TAIL } from "../src/ingest/ingest.ts";
import { ANSWER_START } from "../src/rpc/envelope.ts";
import { accounts, alice, bob, carol, dave, sign, startRig, WEALTH } from "./client.ts";
import type { Rig, RpcAnswer } from "./client.ts";

/** The order of secp256k1: s above half of it is refused (EIP-2). */
const CURVE = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

let rig: Rig;
beforeAll(async () => (rig = await startRig()));
afterAll(() => rig.stop());

/** A raw type 2 transaction with its signature's s turned over: the same signer, in the form that EIP-2 forbids. */
function withHighS(raw: Hex): Hex {
  const items = RLP.decode(`0x${raw.slice(4)}`) as Uint8Array[];
  const s = BigInt(toHex(items[11]!));
  items[11] = Buffer.from((CURVE - s).toString(16).padStart(64, "0"), "hex");
  items[9] = items[9]!.length === 0 ? Uint8Array.of(1) : new Uint8Array(0);
  return `0x02${Buffer.from(RLP.encode(items)).toString("hex")}`;
}

async function withField(index: number, value: Uint8Array): Promise<Hex> {
  const items = RLP.decode(`0x${(await sign()).slice(4)}`) as Uint8Array[];
  items[index] = value;
  return `0x02${Buffer.from(RLP.encode(items)).toString("hex")}`;
}

describe("bad transactions are refused without reaching the scheduler", () => {
  const OVER_GAS = 16_777_217n;
  test.each<[what: string, raw: () => Hex | Promise<Hex>, message: string | RegExp]>([
    ["nothing", () => "0x", "typed transaction too short: no bytes"],
    ["a type and no more", () => "0x02", "typed transaction too short"],
    ["not RLP", () => "0x02ff", "rlp: value size exceeds available input length"],
    ["a string instead of a list", () => "0x0280", "rlp: expected List for a signed transaction"],
    ["a byte below the lists", () => "0x7f", "transaction type not supported: tx type 127 not supported by this chain"],
    ["a string", () => "0x80", "rlp: expected List for a signed transaction"],
    ["an unknown type", () => "0x05c0", "transaction type not supported: tx type 5 not supported by this chain"],
    ["a cut transaction", async () => (await sign()).slice(0, -2) as Hex, "rlp: value size exceeds available input length"],
    ["bytes after the end", async () => `${await sign()}00`, "rlp: input contains more than one value"],
    ["a list of nothing", () => "0xc0", "rlp: fields do not fit a signed transaction of this type"],
    [
      "a blob transaction",
      () => "0x03c0",
      "transaction type not supported: tx type 3 not supported by this chain (EIP-4844 blob transactions)",
    ],
    [
      "a set code transaction",
      () => "0x04c0",
      "transaction type not supported: tx type 4 not supported by this chain (EIP-7702 set code transactions)",
    ],
    ["another chain", () => sign({ chainId: 1 }), "invalid chain id for signer: have 1 want 31337"],
    [
      "another chain, legacy",
      () => sign({ type: "legacy", gasPrice: 1n, maxFeePerGas: undefined, chainId: 5 }),
      /have 5 want 31337$/,
    ],
    [
      "no replay protection",
      () => sign({ type: "legacy", gasPrice: 1n, maxFeePerGas: undefined, chainId: undefined }),
      "only replay-protected (EIP-155) transactions allowed over RPC",
    ],
    ["high s", async () => withHighS(await sign()), "invalid sender: invalid transaction v, r, s values"],
    ["r of 0", () => withField(10, new Uint8Array(0)), "invalid sender: invalid transaction v, r, s values"],
    ["s of the curve's order", () => withField(11, Buffer.from(CURVE.toString(16), "hex")), /^invalid sender/],
    ["too little gas", () => sign({ gas: 20_999n }), "intrinsic gas too low: gas 20999, minimum needed 21000"],
    [
      "gas below the floor of its data",
      () => sign({ gas: 30_000n, data: `0x${"11".repeat(300)}` }),
      "insufficient gas for floor data gas cost: gas 30000, minimum needed 33000",
    ],
    [
      "more gas than a transaction may have",
      () => sign({ gas: OVER_GAS }),
      "transaction gas limit too high (cap: 16777216, tx: 16777217)",
    ],
    [
      "a tip above the fee cap",
      () => withField(2, Buffer.from("ffffffffff", "hex")),
      "max priority fee per gas higher than max fee per gas",
    ],
    [
      "too much init code",
      () => sign({ to: undefined, gas: 16_000_000n, data: `0x${"00".repeat(49_153)}` }),
      "max initcode size exceeded: code size 49153, limit 49152",
    ],
    [
      "too large",
      () => sign({ gas: 16_000_000n, data: `0x${"00".repeat(131_072)}` }),
      /^oversized data: transaction size 131\d{3}, limit 131072$/,
    ],
    ["a nonce beyond counting", () => withField(1, Buffer.from("ffffffffffffffff", "hex")), "nonce has max value"],
  ])("%s", async (_what, raw, message) => {
    const before = rig.chain.submits.length;
    const answer = await rig.call("eth_sendRawTransaction", await raw());
    expect(answer).toEqual({
      jsonrpc: "2.0",
      id: 1,
      error: {
        code: -32_000,
        message: expect.stringMatching(typeof message === "string" ? exactly(message) : message) as string,
      },
    });
    expect(rig.chain.submits.length).toBe(before);
  });

  test.each<[what: string, params: unknown, message: string]>([
    ["no parameter", [], "missing value for required argument 0"],
    ["no list", {}, "non-array args"],
    ["a number", [5], "invalid argument 0: json: cannot unmarshal non-string into Go value of type hexutil.Bytes"],
    [
      "no prefix",
      ["00"],
      "invalid argument 0: json: cannot unmarshal hex string without 0x prefix into Go value of type hexutil.Bytes",
    ],
    [
      "odd digits",
      ["0x0"],
      "invalid argument 0: json: cannot unmarshal hex string of odd length into Go value of type hexutil.Bytes",
    ],
    ["no hex", ["0xzz"], "invalid argument 0: json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes"],
    ["two parameters", ["0x00", 1], "too many arguments, want at most 1"],
  ])("%s", async (_what, params, message) => {
    const before = rig.chain.submits.length;
    const response = await rig.post({ jsonrpc: "2.0", id: 1, method: "eth_sendRawTransaction", params });
    expect(await response.json()).toEqual({ jsonrpc: "2.0", id: 1, error: { code: -32_602, message } });
    expect(rig.chain.submits.length).toBe(before);
  });
});

const exactly = (text: string): RegExp => new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);

describe("what the scheduler refuses", () => {
  test.each<[what: string, code: number, detail: number, error: { code: number; message: string }]>([
    ["nonce too low", SUBMIT.nonceTooLow, 5, { code: -32_000, message: "nonce too low: next nonce 5, tx nonce 3" }],
    ["nonce too high", SUBMIT.nonceTooHigh, 1, { code: -32_000, message: "nonce too high: tx nonce 3, gapped nonce 1" }],
    ["known", SUBMIT.alreadyKnown, 0, { code: -32_000, message: "already known" }],
    ["replacement", SUBMIT.replacement, 0, { code: -32_000, message: "replacement transaction underpriced" }],
    [
      "sender limit",
      SUBMIT.senderLimit,
      64,
      { code: -32_005, message: "account limit exceeded: at most 64 transactions of one sender may wait" },
    ],
    ["busy", SUBMIT.busy, 0, { code: -32_005, message: "too many transactions are waiting: send again later" }],
    [
      "partition full",
      SUBMIT.partitionFull,
      2,
      { code: -32_000, message: "partition 2 is at its memory limit and takes no more transactions" },
    ],
    [
      "partition silent",
      SUBMIT.partitionSilent,
      2,
      { code: -32_000, message: "partition 2 does not answer: the transaction was not sent" },
    ],
    [
      "storage full",
      SUBMIT.logFull,
      0,
      { code: -32_005, message: "storage is full: the transaction was not sent; send it again when there is room" },
    ],
    ["block gas", SUBMIT.gasLimit, 90_000, { code: -32_000, message: "exceeds block gas limit: gas 100000, limit 90000" }],
  ])("%s", async (_what, code, detail, error) => {
    const raw = await sign({ nonce: 3 }, dave);
    rig.chain.planted.set(keccak256(raw).slice(2), { code, detail });
    expect(await rig.call("eth_sendRawTransaction", raw)).toEqual({ jsonrpc: "2.0", id: 1, error });
    rig.chain.planted.clear();
  });

  test("a nonce too low that is this very transaction's own gets its hash", async () => {
    const raw = await sign({}, carol);
    expect(await rig.result("eth_sendRawTransaction", raw)).toBe(keccak256(raw));
    rig.chain.closeBlock();
    rig.chain.forgetHashes();
    expect(await rig.result("eth_sendRawTransaction", raw)).toBe(keccak256(raw));
    const other = await sign({ gas: 50_000n }, carol);
    expect((await rig.call("eth_sendRawTransaction", other)).error?.message).toBe("nonce too low: next nonce 1, tx nonce 0");
  });
});

describe("values", () => {
  test("a sender without the value is refused as in geth", async () => {
    const before = rig.chain.submits.length;
    const answer = await rig.call("eth_sendRawTransaction", await sign({ value: 7n }, dave));
    expect(answer.error).toEqual({
      code: -32_000,
      message: `insufficient funds for gas * price + value: address ${dave.address} have 0 want 7`,
    });
    expect(rig.chain.submits.length).toBe(before);
  });

  test("earlier transactions of the request count, one read a partition, others go through", async () => {
    const before = rig.chain.reads.length;
    const raws: Hex[] = await Promise.all([
      sign({ nonce: 0, value: parseEther("0.6") }, bob),
      sign({ nonce: 1, value: parseEther("0.6") }, bob),
      sign({ nonce: 0, value: 1n }, accounts[5]),
      sign({ nonce: 0 }, accounts[6]),
      sign({ nonce: 1, value: parseEther("0.4") }, bob),
    ]);
    const hashes = raws.map((raw) => keccak256(raw));
    const batch = raws.map((raw, id) => ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params: [raw] }));
    const answers = (await (await rig.post(batch)).json()) as RpcAnswer[];
    expect(answers.map(({ result, error }) => result ?? error?.message)).toEqual([
      hashes[0],
      expect.stringContaining(`address ${bob.address} have ${WEALTH} want ${parseEther("1.2")}`),
      expect.stringContaining("have 0 want 1"),
      hashes[3],
      hashes[4],
    ]);
    const owners = new Set(rig.chain.reads.slice(before).map(({ op }) => op));
    expect([...owners]).toEqual(["cells"]);
    expect(rig.chain.reads.length - before).toBeLessThanOrEqual(2);
  });

  describe("whose nonce was used already are the scheduler's to answer", () => {
    const most = { value: (WEALTH * 3n) / 5n };
    let [spender, raw]: [Rig | undefined, Hex] = [undefined, "0x"];
    const send = (fields: Record<string, unknown>) =>
      sign(fields).then((signed) => spender!.call("eth_sendRawTransaction", signed));
    beforeAll(async () => {
      spender = await startRig();
      raw = await sign(most);
      await spender.result("eth_sendRawTransaction", raw);
    });
    afterAll(() => spender?.stop());

    test.each<[what: string, isForgotten: boolean]>([
      ["sent again", false],
      ["sent again when the scheduler has forgotten it", true],
    ])("%s, its first copy spent the balance: its hash", async (_what, isForgotten) => {
      if (isForgotten) spender!.chain.forgetHashes();
      expect(await send(most)).toEqual({ jsonrpc: "2.0", id: 1, result: keccak256(raw) });
    });

    test("another with its nonce: nonce too low", async () => {
      const answer = await send({ value: most.value + 1n });
      expect(answer.error).toEqual({ code: -32_000, message: "nonce too low: next nonce 1, tx nonce 0" });
    });

    test("the next nonce without the funds is refused, nothing is submitted", async () => {
      const before = spender!.chain.submits.length;
      const answer = await send({ ...most, nonce: 1 });
      const have = WEALTH - most.value;
      expect(answer.error?.message).toBe(
        `insufficient funds for gas * price + value: address ${alice.address} have ${have} want ${most.value}`,
      );
      expect(spender!.chain.submits.length).toBe(before);
    });

    test("sent again with the next one: it counts once", async () => {
      const next = await sign({ value: WEALTH - most.value, nonce: 1 });
      expect(await spender!.sendAll([raw, next])).toEqual([keccak256(raw), keccak256(next)]);
      expect(spender!.errors).toEqual([]);
    });
  });

  test("a partition that does not answer refuses only its own senders", async () => {
    rig.chain.onRead = () => ({ op: "failed", failure: { code: "BUSY", limit: 9 } });
    const answer = await rig.call("eth_sendRawTransaction", await sign({ value: 1n, nonce: 9 }));
    rig.chain.onRead = () => undefined;
    expect(answer.error).toEqual({
      code: -32_005,
      message: expect.stringMatching(/^partition \d has 9 reads waiting/) as string,
    });
  });
});

describe("accepted", () => {
  test.each<[what: string, fields: Record<string, unknown>]>([
    ["legacy", { type: "legacy", gasPrice: 1n, maxFeePerGas: undefined }],
    [
      "EIP-2930",
      { type: "eip2930", gasPrice: 1n, maxFeePerGas: undefined, accessList: [{ address: bob.address, storageKeys: [] }] },
    ],
    ["EIP-1559", {}],
    ["a creation", { to: undefined, data: "0x00", gas: 200_000n }],
  ])("%s", async (_what, fields) => {
    const nonce = Number(await rig.result("eth_getTransactionCount", alice.address, "pending"));
    const raw = await sign({ ...fields, nonce });
    expect(await rig.result("eth_sendRawTransaction", raw)).toBe(keccak256(raw));
    expect(await rig.result("eth_getTransactionCount", alice.address, "pending")).toBe(toHex(nonce + 1));
  });

  test("the method's name may be written with escapes", async () => {
    const raw = await sign({ nonce: 0 }, accounts[7]);
    const body = `{"jsonrpc":"2.0","id":1,"method":"eth_send\\u0052awTransaction","params":["${raw}"]}`;
    expect(await (await rig.post(body)).json()).toEqual({ jsonrpc: "2.0", id: 1, result: keccak256(raw) });
  });

  test("a batch answers in order, mixed with other calls, notifications and nonsense", async () => {
    const sender = accounts[4]!;
    const count = { jsonrpc: "2.0", method: "eth_getTransactionCount", params: [sender.address, "pending"] };
    const [first, second, third] = await Promise.all([0, 1, 2].map((nonce) => sign({ nonce }, sender)));
    const send = { jsonrpc: "2.0", method: "eth_sendRawTransaction" };
    const response = await rig.post([
      { ...count, id: "before" },
      { ...send, id: "ü", params: [first] },
      { ...send, params: [second] },
      5,
      { ...send, id: 7, params: ["0x"] },
      { ...send, id: 12, params: [third] },
      { ...count, id: "after" },
      { jsonrpc: "2.0", id: 8, method: "eth_nothing" },
    ]);
    expect(await response.json()).toEqual([
      { jsonrpc: "2.0", id: "before", result: "0x0" },
      { jsonrpc: "2.0", id: "ü", result: keccak256(first!) },
      { jsonrpc: "2.0", id: null, error: { code: -32_600, message: "invalid request" } },
      { jsonrpc: "2.0", id: 7, error: { code: -32_000, message: "typed transaction too short: no bytes" } },
      { jsonrpc: "2.0", id: 12, result: keccak256(third!) },
      { jsonrpc: "2.0", id: "after", result: "0x3" },
      { jsonrpc: "2.0", id: 8, error: { code: -32_601, message: "the method eth_nothing does not exist/is not available" } },
    ]);
  });

  test("a batch of notifications is carried out and not answered", async () => {
    const sender = accounts[4]!;
    const raw = await sign({ nonce: 3 }, sender);
    const response = await rig.post([{ jsonrpc: "2.0", method: "eth_sendRawTransaction", params: [raw] }]);
    expect([response.status, await response.text()]).toEqual([200, ""]);
    expect(await rig.result("eth_getTransactionCount", sender.address, "pending")).toBe("0x4");
  });

  test("prepared answers are cut at the right places", () => {
    const text = `${ANSWER_START}"id","result":"0x${"0".repeat(64)}"}`;
    expect(text.slice(ANSWER_START.length, text.length - ACCEPTED_TAIL)).toBe('"id"');
  });

  test("nothing went wrong inside", () => expect(rig.errors).toEqual([]));
});
