import { describe, expect, test } from "vitest";
import { answerText, bodyText, readBody } from "./envelope.ts";

const read = (text: string, batchMax = 3) => readBody(Buffer.from(text), batchMax);
const call = (id: string) => `{"jsonrpc":"2.0","id":${id},"method":"m"}`;
const failure = (id: string, code: number, message: string) =>
  `{"jsonrpc":"2.0","id":${id},"error":{"code":${code},"message":"${message}"}}`;

describe("bodies", () => {
  test.each<[what: string, body: string, answer: string]>([
    ["no JSON", "{", failure("null", -32700, "parse error")],
    ["not UTF-8 JSON at all", "\u0000", failure("null", -32700, "parse error")],
    ["nothing", "", ""],
    ["blanks", " \n", ""],
    ["an empty batch", "[]", failure("null", -32600, "empty batch")],
    [
      "too large a batch",
      `[${[1, 2, 3, 4].map((id) => call(String(id))).join(",")}]`,
      `[${failure("1", -32600, "batch too large")}]`,
    ],
    ["too large a batch without ids", "[1,2,3,4]", `[${failure("null", -32600, "batch too large")}]`],
  ])("%s", (_what, body, answer) => expect(read(body)).toEqual({ answer }));

  test.each<[what: string, body: string, idText: string]>([
    ["a number", "5", "null"],
    ["null", "null", "null"],
    ["no version", '{"id":7,"method":"m"}', "7"],
    ["another version", '{"jsonrpc":"1.0","id":7,"method":"m"}', "7"],
    ["no method", '{"jsonrpc":"2.0","id":7}', "7"],
    ["a method that is a number", '{"jsonrpc":"2.0","id":7,"method":1}', "7"],
    ["an id that is a list", '{"jsonrpc":"2.0","id":[],"method":"m"}', "null"],
  ])("%s is no request", (_what, body, idText) =>
    expect(read(body)).toEqual({ isBatch: false, items: [{ error: { code: -32600, message: "invalid request" }, idText }] }),
  );

  test.each<[what: string, id: string, idText: string]>([
    ["number", "1", "1"],
    ["text", '"a"', '"a"'],
    ["text beyond ASCII", '"ü"', '"\\u00fc"'],
    ["text with quotes", '"\\""', '"\\""'],
    ["null", "null", "null"],
    ["beyond 2^53", "12345678901234567890", "12345678901234567890"],
    ["a fraction as it was written", "1.50", "1.50"],
  ])("id: %s", (_what, id, idText) =>
    expect(read(call(id))).toMatchObject({ isBatch: false, items: [{ call: { idText, method: "m" } }] }),
  );

  test("a call without id is a notification", () =>
    expect(read('{"jsonrpc":"2.0","method":"m"}')).toMatchObject({ items: [{ call: { idText: null } }] }));

  test("a batch keeps its order, wrong elements too", () =>
    expect(read(`[${call("1")},null,${call("2")}]`)).toMatchObject({
      isBatch: true,
      items: [{ call: { idText: "1" } }, { idText: "null" }, { call: { idText: "2" } }],
    }));

  test("__proto__ is a key like any other", () =>
    expect(read('{"jsonrpc":"2.0","id":1,"method":"m","__proto__":{"params":[1]}}')).toEqual({
      isBatch: false,
      items: [{ call: { idText: "1", method: "m", params: undefined } }],
    }));
});

describe("answers", () => {
  test("results, errors, batches", () => {
    expect(answerText("1", { result: null })).toBe('{"jsonrpc":"2.0","id":1,"result":null}');
    expect(answerText('"x"', { error: { code: 3, message: "m", data: "0x" } })).toBe(
      '{"jsonrpc":"2.0","id":"x","error":{"code":3,"message":"m","data":"0x"}}',
    );
    expect(bodyText(true, ["1", "2"])).toBe("[1,2]");
    expect(bodyText(true, [])).toBe("");
    expect(bodyText(false, ["1"])).toBe("1");
  });
});
