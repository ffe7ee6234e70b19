/** The binary body and its streamed answer, against a server that says what the rows tell it to. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PostError, postTransactions, unpackReceipts } from "../src/index.ts";
import type { BlockReceipts } from "../src/index.ts";
import { pack, valueAt } from "../src/msgpack.ts";
import type { Value } from "../src/msgpack.ts";

const hash = new Uint8Array(32).fill(0xaa);
const hashHex = `0x${"aa".repeat(32)}`;

interface Answer {
  status?: number;
  headers?: Record<string, string>;
  values: Value[];
  /** Bytes at a time; the end of the last one is left out with `cut`. */
  chunkBytes?: number;
  cut?: number;
}

let answer: Answer = { values: [] };
let asked: { url: string | undefined; type: string | undefined; body: Value } | null = null;

const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => {
    asked = { url: request.url, type: request.headers["content-type"], body: valueAt(Buffer.concat(parts), 0)?.value ?? null };
    const { status = 200, headers = {}, values, chunkBytes = 1_000_000, cut = 0 } = answer;
    const bytes = Buffer.concat(values.map((value) => pack(value)));
    response.writeHead(status, { "content-type": "application/msgpack", ...headers });
    for (let at = 0; at < bytes.length - cut; at += chunkBytes) {
      response.write(bytes.subarray(at, Math.min(at + chunkBytes, bytes.length - cut)));
    }
    response.end();
  });
});
let url = "";

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

function receipt(input: number, call: number, status: number, reason: number): Buffer {
  const packed = Buffer.alloc(24);
  packed.writeUInt16LE(input, 0);
  packed.writeUInt16LE(call, 2);
  packed.writeUInt32LE(70_000, 4);
  packed.writeUInt8(status, 8);
  packed.writeUInt8(reason, 9);
  packed.writeBigUInt64LE(21_000n, 16);
  return packed;
}

async function all(receipts: AsyncGenerator<BlockReceipts, number>): Promise<{ blocks: BlockReceipts[]; missing: number }> {
  const blocks: BlockReceipts[] = [];
  for (;;) {
    const next = await receipts.next();
    if (next.done === true) return { blocks, missing: next.value };
    blocks.push(next.value);
  }
}

const block = (number: number, ...receipts: Buffer[]): Value => [
  "receipts",
  [number, hash, 1_800_000_000],
  Buffer.concat(receipts),
];

test("what is asked, and an answer without receipts", async () => {
  answer = { values: [["accepted", 3, null, [[1, 2, -32000, "nonce too low", [5], 1]]]] };
  const posted = await postTransactions(url, ["0x02aa", Uint8Array.of(1)]);
  expect(asked).toEqual({
    url: "/v1/transactions",
    type: "application/msgpack",
    body: [1, 0, [Buffer.from([2, 0xaa]), Buffer.from([1])]],
  });
  const refused = [{ input: 1, call: 2, code: -32000, text: "nonce too low", details: [5], calls: 1 }];
  expect(posted).toMatchObject({ count: 3, hashes: null, refused });
  expect(await all(posted.receipts)).toEqual({ blocks: [], missing: 0 });
});

test.each<[what: string, chunkBytes: number]>([
  ["in one piece", 1_000_000],
  ["in pieces of 7 bytes", 7],
  ["byte by byte", 1],
])("hashes and receipts, %s", async (_what, chunkBytes) => {
  const blocks = [block(7, receipt(0, 0, 1, 0), receipt(1, 300, 0, 4)), block(8, receipt(1, 1_023, 0, 1))];
  answer = { values: [["accepted", 3, Buffer.concat([hash, hash]), []], ...blocks, ["end", 3]], chunkBytes };
  const posted = await postTransactions(url, ["0x01", "0x02"], { receipts: true, hashes: true });
  expect((asked?.body as Value[])[1]).toBe(3);
  expect(posted.hashes).toEqual([hashHex, hashHex]);
  const { blocks: found, missing } = await all(posted.receipts);
  expect(missing).toBe(0);
  expect(found.map(({ number, hash: of, timestamp }) => [number, of, timestamp])).toEqual([
    [7, hashHex, 1_800_000_000],
    [8, hashHex, 1_800_000_000],
  ]);
  expect(found.flatMap(({ packed }) => unpackReceipts(packed))).toEqual([
    { input: 0, call: 0, index: 70_000, status: "success", reason: "none", gasUsed: 21_000n },
    { input: 1, call: 300, index: 70_000, status: "reverted", reason: "void", gasUsed: 21_000n },
    { input: 1, call: 1_023, index: 70_000, status: "reverted", reason: "revert", gasUsed: 21_000n },
  ]);
});

test("receipts that are late are counted", async () => {
  answer = {
    values: [
      ["accepted", 2, null, []],
      ["late", 2],
    ],
  };
  expect(await all((await postTransactions(url, ["0x01"], { receipts: true })).receipts)).toEqual({ blocks: [], missing: 2 });
});

test.each<[what: string, cut: number]>([
  ["inside of a value", 2],
  ["between two values", pack(["end", 1]).length],
])("an answer that is cut off %s says so", async (_what, cut) => {
  answer = { values: [["accepted", 1, null, []], block(7, receipt(0, 0, 1, 0)), ["end", 1]], cut };
  const posted = await postTransactions(url, ["0x01"], { receipts: true });
  await expect(all(posted.receipts)).rejects.toThrow(/cut off/);
});

test("overload tells when to come back", async () => {
  answer = { status: 429, headers: { "retry-after": "2" }, values: [["error", -32005, "too many transactions are waiting"]] };
  const refused = postTransactions(url, ["0x01"]);
  await expect(refused).rejects.toThrow(PostError);
  await expect(refused).rejects.toMatchObject({ status: 429, code: -32005, retryAfterMs: 2_000 });
});

test("an answer that is none", async () => {
  answer = { status: 404, values: [] };
  await expect(postTransactions(url, ["0x01"])).rejects.toMatchObject({ status: 404, retryAfterMs: null });
});

test("no server", async () => {
  await expect(postTransactions("http://127.0.0.1:1", ["0x01"])).rejects.toMatchObject({ status: 0, code: -32000 });
});
