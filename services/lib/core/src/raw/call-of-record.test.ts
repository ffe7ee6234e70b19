import { expect, test } from "vitest";
import { bytesOfHex, concatBytes, writeU32, writeU64 } from "../bytes.ts";
import { TX, TX_CREATES, TX_HEADER_BYTES } from "../transactions.ts";
import { callOfRecord } from "./call-of-record.ts";

const SENDER = "11".repeat(20);
const TO = "22".repeat(20);
const KEY = "33".repeat(32);

/** RLP of nested lists of hex texts. */
type Item = string | Item[];
function rlp(item: Item): Uint8Array {
  const payload = typeof item === "string" ? bytesOfHex(item) : concatBytes(item.map(rlp));
  if (typeof item === "string" && payload.length === 1 && payload[0]! < 0x80) return payload;
  const base = typeof item === "string" ? 0x80 : 0xc0;
  if (payload.length <= 55) return concatBytes([Uint8Array.of(base + payload.length), payload]);
  const digits = bytesOfHex(payload.length.toString(16).padStart(payload.length > 255 ? 4 : 2, "0"));
  return concatBytes([Uint8Array.of(base + 55 + digits.length), digits, payload]);
}

function recordOf(type: number, fields: Item[], creates = false): Uint8Array {
  const raw = type === 0 ? rlp(fields) : concatBytes([Uint8Array.of(type), rlp(fields)]);
  const record = new Uint8Array(TX_HEADER_BYTES + raw.length);
  writeU32(record, TX.bytes, record.length);
  record[TX.type] = type;
  record[TX.flags] = creates ? TX_CREATES : 0;
  writeU32(record, TX.rawOffset, TX_HEADER_BYTES);
  writeU64(record, TX.gasLimit, 90_000);
  record.set(bytesOfHex(SENDER), TX.sender);
  record.set(bytesOfHex(TO), TX.to);
  record.set(raw, TX_HEADER_BYTES);
  return record;
}

const long = "ab".repeat(300);

test.each<[what: string, record: Uint8Array, want: { to: string | null; value: string; input: string; accessList: string }]>([
  [
    "legacy, no value, no input",
    recordOf(0, ["05", "01", "5208", TO, "", "", "25", KEY, KEY]),
    { to: TO, value: "", input: "", accessList: "" },
  ],
  [
    "legacy creation with a long input of more than 255 bytes",
    recordOf(0, ["05", "01", "5208", "", "7f", long, "25", KEY, KEY], true),
    { to: null, value: "7f", input: long, accessList: "" },
  ],
  [
    "access list with two accounts",
    recordOf(1, [
      "01",
      "05",
      "01",
      "5208",
      TO,
      "0100",
      "ff",
      [
        [TO, [KEY, KEY]],
        [SENDER, []],
      ],
      "01",
      KEY,
      KEY,
    ]),
    { to: TO, value: "0100", input: "ff", accessList: `${TO}0200${KEY}${KEY}${SENDER}0000` },
  ],
  [
    "type 2",
    recordOf(2, ["01", "05", "01", "02", "5208", TO, "de0b6b3a7640000".padStart(16, "0"), long.slice(0, 120), [], "", KEY, KEY]),
    { to: TO, value: "0de0b6b3a7640000", input: long.slice(0, 120), accessList: "" },
  ],
  [
    "call 0 of a signed batch, with the signature",
    recordOf(0x4d, ["01", "05", "5208", TO, "07", long, KEY, "", ["02", "", KEY, KEY]]),
    { to: TO, value: "07", input: long, accessList: "" },
  ],
  [
    "another call, which creates",
    recordOf(0x4d, ["01", "06", "5208", "", "", "60", KEY, "01", []], true),
    { to: null, value: "", input: "60", accessList: "" },
  ],
])("%s", (_what, record, want) => {
  const before = new Uint8Array(7); // A record that does not stand at the start.
  const call = callOfRecord(concatBytes([before, record]), before.length, before);
  expect(call).toEqual({
    from: bytesOfHex(SENDER),
    to: want.to === null ? null : bytesOfHex(want.to),
    value: bytesOfHex(want.value.padStart(64, "0")),
    data: bytesOfHex(want.input),
    accessList: bytesOfHex(want.accessList),
    gasLimit: 90_000,
    given: before,
    traced: true,
  });
});

test("a record without a signed transaction is no call", () => {
  const record = recordOf(0, []);
  record[TX_HEADER_BYTES] = 0x74;
  expect(callOfRecord(record, 0, new Uint8Array(0))).toBeNull();
});
