import {
  ACCOUNT_CELL_BYTES,
  CELL,
  CODE_CELL_HEADER_BYTES,
  HISTORY_ADDRESS,
  HISTORY_CODE,
  NONCE_CELL_BYTES,
  SLOT_CELL_BYTES,
  cellBytes,
  hexOf,
  readU64,
} from "@meridian/core";
import { expect, test } from "vitest";
import { parseGenesis } from "./genesis.ts";

const EMPTY_CODE_HASH = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
const low = "0000000000000000000000000000000000000001";
const high = "fF00000000000000000000000000000000000002";

const file = (changes: Record<string, unknown>): string => JSON.stringify({ config: { chainId: 7 }, alloc: {}, ...changes });

/** Kinds and keys of packed cells, in order. */
function cellsOf(cells: Uint8Array): string[] {
  const found: string[] = [];
  for (let at = 0; at < cells.length; at += cellBytes(cells, at)) {
    found.push(`${cells[at] ?? 0} ${hexOf(cells, at + 1, at + 2)}`);
  }
  return found;
}

test("accounts are sorted by address, each with its account, nonce, code and slots", () => {
  const { cells, accounts } = parseGenesis(
    file({
      alloc: {
        [`0x${high}`]: { balance: "1000" },
        [low]: { balance: "0xff", nonce: "0x5", code: "0x00", storage: { "0x2": "0x03", "0x01": "0x04", "0x09": "0x0" } },
      },
    }),
  );
  expect(accounts).toBe(2);
  // Behind the first one the history account: account, nonce, code.
  expect(cellsOf(cells)).toEqual(["1 00", "2 00", "4 00", "3 00", "3 00", "1 00", "2 00", "4 00", "1 ff"]);
  expect(hexOf(cells, 21, 53)).toBe("ff".padStart(64, "0"));
  expect(hexOf(cells, 53, 85)).toBe("bc36789e7a1e281436464229828f817d6612f7b477d66591ff96a9e064bcc98a"); // of one byte 0
  expect(readU64(cells, ACCOUNT_CELL_BYTES + 21)).toBe(5);
  const slots = ACCOUNT_CELL_BYTES + NONCE_CELL_BYTES + CODE_CELL_HEADER_BYTES + 1;
  expect(cells[slots]).toBe(CELL.slot);
  expect([cells[slots + 52], cells[slots + 84]]).toEqual([1, 4]);
  const history = ACCOUNT_CELL_BYTES + NONCE_CELL_BYTES + CODE_CELL_HEADER_BYTES + HISTORY_CODE.length;
  expect(hexOf(cells, slots + 2 * SLOT_CELL_BYTES + 1, slots + 2 * SLOT_CELL_BYTES + 21)).toBe(hexOf(HISTORY_ADDRESS));
  const last = slots + 2 * SLOT_CELL_BYTES + history;
  expect([hexOf(cells, last + 21, last + 53), hexOf(cells, last + 53, last + 85)]).toEqual([
    (1000).toString(16).padStart(64, "0"),
    EMPTY_CODE_HASH,
  ]);
});

test.each<[what: string, changes: Record<string, unknown>, want: object]>([
  ["nothing said", {}, { timestamp: null, blockGasLimit: 1_000_000_000, chainId: 7 }],
  ["hex", { timestamp: "0x10", gasLimit: "0x1c9c380" }, { timestamp: 16, blockGasLimit: 30_000_000 }],
  ["numbers", { timestamp: 9, gasLimit: 50_000 }, { timestamp: 9, blockGasLimit: 50_000 }],
  ["time 0, as files for other clients have it", { timestamp: "0x0" }, { timestamp: null }],
  [
    "pins",
    { config: { chainId: 7, meridian: { pins: { [`0x${high}`]: 3, [low]: "0x1" } } } },
    {
      pins: [
        { address: low, partition: 1 },
        { address: high.toLowerCase(), partition: 3 },
      ],
    },
  ],
  ["no pins", {}, { pins: [] }],
  ["fields of other chains", { difficulty: "0x1", baseFeePerGas: "0x7", coinbase: "0x0" }, { accounts: 0 }],
])("chain: %s", (_what, changes, want) => expect(parseGenesis(file(changes))).toMatchObject(want));

test("a history account that the file gives stands as given", () => {
  const account = { code: `0x${hexOf(HISTORY_CODE)}`, nonce: 1, balance: "7" };
  const { cells } = parseGenesis(file({ alloc: { [hexOf(HISTORY_ADDRESS)]: account } }));
  expect([cellsOf(cells), hexOf(cells, 52, 53)]).toEqual([["1 00", "2 00", "4 00"], "07"]);
});

test("the hash depends on the accounts alone", () => {
  const hashes = [{}, { timestamp: 5 }, { alloc: { [low]: {} } }].map((changes) => hexOf(parseGenesis(file(changes)).hash));
  expect(hashes[0]).toBe(hashes[1]);
  expect(hashes[0]).not.toBe(hashes[2]);
});

test.each<[what: string, text: string, field: string]>([
  ["no JSON", "{", "file"],
  ["a list", "[]", "file"],
  ["no chain id", file({ config: {} }), "config.chainId"],
  ["chain id 0", file({ config: { chainId: 0 } }), "config.chainId"],
  ["gas limit below a transfer", file({ gasLimit: 20_999 }), "gasLimit"],
  ["alloc as text", file({ alloc: "x" }), "alloc"],
  ["short address", file({ alloc: { "0x12": {} } }), "alloc"],
  ["one address twice", file({ alloc: { [high]: {}, [high.toLowerCase()]: {} } }), "alloc"],
  ["negative balance", file({ alloc: { [low]: { balance: "-1" } } }), `alloc.${low}.balance`],
  ["balance of 2^256", file({ alloc: { [low]: { balance: `0x1${"0".repeat(64)}` } } }), `alloc.${low}.balance`],
  ["nonce of 2^53", file({ alloc: { [low]: { nonce: "9007199254740992" } } }), `alloc.${low}.nonce`],
  ["half a byte of code", file({ alloc: { [low]: { code: "0x123" } } }), `alloc.${low}.code`],
  ["too much code", file({ alloc: { [low]: { code: `0x${"00".repeat(24_577)}` } } }), `alloc.${low}.code`],
  [
    "another contract at the address of the history account",
    file({ alloc: { [hexOf(HISTORY_ADDRESS)]: { code: "0x00" } } }),
    `alloc.${hexOf(HISTORY_ADDRESS)}.code`,
  ],
  ["storage as list", file({ alloc: { [low]: { storage: [] } } }), `alloc.${low}.storage`],
  ["pins as list", file({ config: { chainId: 7, meridian: { pins: [] } } }), "config.meridian.pins"],
  ["a pin of no address", file({ config: { chainId: 7, meridian: { pins: { "0x12": 1 } } } }), "config.meridian.pins"],
  [
    "one pin twice",
    file({ config: { chainId: 7, meridian: { pins: { [high]: 1, [high.toLowerCase()]: 2 } } } }),
    "config.meridian.pins",
  ],
  ["a pin to no partition", file({ config: { chainId: 7, meridian: { pins: { [low]: -1 } } } }), `config.meridian.pins.${low}`],
  ["a slot of text", file({ alloc: { [low]: { storage: { a: "b" } } } }), `alloc.${low}.storage`],
])("refused: %s", (_what, text, field) => {
  expect(() => parseGenesis(text)).toThrow(
    expect.objectContaining({ detail: expect.objectContaining({ code: "GENESIS", field }) as unknown }),
  );
});
