import { describe, expect, test } from "vitest";
import { corsHeaders, isHostAllowed } from "./access.ts";

describe("Host", () => {
  test.each<[host: string | undefined, names: string[], isAllowed: boolean]>([
    ["localhost:8545", ["localhost"], true],
    ["LOCALHOST", ["localhost"], true],
    ["127.0.0.1:8545", ["localhost"], true],
    ["10.1.2.3:8545", [], true],
    ["[::1]:8545", [], true],
    ["[::1]", [], true],
    ["evil.example", ["localhost"], false],
    ["evil.example:8545", ["localhost"], false],
    ["localhost.evil.example", ["localhost"], false],
    ["127.0.0.1.evil.example", ["localhost"], false],
    ["rpc.example", ["localhost", "rpc.example"], true],
    ["anything", ["*"], true],
    [undefined, ["localhost"], true],
  ])("%s with %j: %s", (host, names, isAllowed) => expect(isHostAllowed(host, names)).toBe(isAllowed));
});

describe("CORS", () => {
  test.each<[origin: string | undefined, origins: string[], headers: Record<string, string>]>([
    ["http://example.org", [], {}],
    ["http://example.org", ["*"], { "access-control-allow-origin": "*" }],
    ["http://example.org", ["http://example.org"], { "access-control-allow-origin": "http://example.org", vary: "Origin" }],
    ["http://example.com", ["http://example.org"], { vary: "Origin" }],
    [undefined, ["http://example.org"], { vary: "Origin" }],
  ])("%s with %j", (origin, origins, headers) => expect(corsHeaders(origin, origins)).toEqual(headers));
});
