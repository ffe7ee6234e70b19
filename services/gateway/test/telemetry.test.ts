import { SUBJECT } from "@meridian/bus";
import type { Attributes, Headers, Span, SpanOptions, Telemetry } from "@meridian/core";
import { noTelemetry } from "@meridian/core";
import { afterEach, expect, test } from "vitest";
import { alice, bob, carol, sign, startRig } from "./client.ts";
import type { Rig } from "./client.ts";
import { bodyOf, post, valuesOf } from "./binary.ts";

interface Recorded {
  name: string;
  id: string;
  parent: string | undefined;
  links: (string | undefined)[];
  attributes: Attributes;
  isEnded: boolean;
}

/** Remembers spans and counts instead of exporting them. */
function recorder(): { telemetry: Telemetry; spans: Recorded[]; counted: [string, number, Attributes][] } {
  const spans: Recorded[] = [];
  const counted: [string, number, Attributes][] = [];
  const idOf = (headers: Headers | undefined) => headers?.["traceparent"];
  const count =
    (name: string) =>
    (value: number, attributes: Attributes = {}) =>
      void counted.push([name, value, attributes]);
  const span = (name: string, options: SpanOptions = {}): Span => {
    const { parent, links = [], attributes = {} } = options;
    const own: Recorded = {
      name,
      id: `${name} ${spans.length}`,
      parent: idOf(parent),
      links: links.map(idOf),
      attributes,
      isEnded: false,
    };
    spans.push(own);
    return {
      headers: () => ({ traceparent: own.id }),
      set: (more) => Object.assign(own.attributes, more),
      end: () => (own.isEnded = true),
    };
  };
  return { telemetry: { ...noTelemetry(), on: true, counter: count, histogram: count, span }, spans, counted };
}

let rig: Rig;
afterEach(() => rig.stop());

test("one trace from the client's request to the scheduler, links where requests share a message", async () => {
  const { telemetry, spans } = recorder();
  rig = await startRig({ telemetry, limits: { mergeMs: 50 } });
  const raws = await Promise.all([sign({}, alice), sign({}, bob), sign({}, carol)]);
  const send = (raw: string, index: number) =>
    rig.post({ jsonrpc: "2.0", id: 1, method: "eth_sendRawTransaction", params: [raw] }, { traceparent: `client ${index}` });
  await Promise.all(raws.map(send));
  const requests = spans.filter(({ name }) => name === "rpc");
  expect(requests.map(({ parent }) => parent).sort()).toEqual(["client 0", "client 1", "client 2"]);
  expect(requests[0]?.attributes).toMatchObject({ "rpc.method": "eth_sendRawTransaction", "meridian.transactions": 1 });
  const submits = spans.filter(({ name }) => name === "submit");
  expect(submits.flatMap(({ parent, links }) => [parent, ...links]).sort()).toEqual(requests.map(({ id }) => id).sort());
  expect(rig.chain.submits.map(({ headers }) => headers.traceparent)).toEqual(submits.map(({ id }) => id));
  expect(spans.every(({ isEnded }) => isEnded)).toBe(true);
});

test("what is read for a request is part of its trace", async () => {
  const { telemetry, spans } = recorder();
  rig = await startRig({ telemetry });
  const queries: Headers[] = [];
  rig.chain.bus.wire.subscribe(SUBJECT.archiveQuery, ({ headers }) => void queries.push(headers));
  await rig.call("eth_getBalance", alice.address);
  await rig.call("eth_getBlockByNumber", "0x0", false);
  await rig.call("eth_sendRawTransaction", await sign({ value: 1n }));
  const [balance, block, send] = spans.filter(({ name }) => name === "rpc");
  expect(rig.chain.readHeaders.map(({ traceparent }) => traceparent)).toEqual([balance?.id, send?.id]);
  expect(queries.map(({ traceparent }) => traceparent)).toEqual([block?.id]);
});

test("calls are counted by method and code, an unknown name as such", async () => {
  const { telemetry, counted, spans } = recorder();
  rig = await startRig({ telemetry });
  await rig.call("eth_chainId");
  await rig.call("eth_getBalance");
  await rig.call("x".repeat(500));
  await rig.call("eth_sendRawTransaction", await sign());
  await rig.call("eth_sendRawTransaction", "0x");
  expect(
    counted.filter(([name]) => name === "meridian.gateway.calls").map(([, value, attributes]) => [value, attributes]),
  ).toEqual([
    [1, { method: "eth_chainId", code: 0 }],
    [1, { method: "eth_getBalance", code: -32_602 }],
    [1, { method: "unknown", code: -32_601 }],
    [1, { method: "eth_sendRawTransaction", code: 0 }],
    [1, { method: "eth_sendRawTransaction", code: -32_000 }],
  ]);
  expect(spans[0]?.attributes).toMatchObject({ "rpc.method": "eth_chainId" });
});

test("a binary body is one span and one submit, counted by calls and codes", async () => {
  const { telemetry, spans, counted } = recorder();
  rig = await startRig({ telemetry });
  const raws = [await sign({}, alice), await sign({}, bob), await sign({ chainId: 1 }, carol)];
  await valuesOf(await post(rig.url, bodyOf(raws), { traceparent: "client" }));
  const own = spans.find(({ name }) => name === "transactions");
  expect(own).toMatchObject({
    parent: "client",
    attributes: { "meridian.transactions": 2, "http.response.status_code": 200 },
    isEnded: true,
  });
  expect(spans.filter(({ name }) => name === "submit").map(({ parent }) => parent)).toEqual([own?.id]);
  const method = "/v1/transactions";
  expect(counted.filter(([name]) => name === "meridian.gateway.calls")).toEqual([
    ["meridian.gateway.calls", 2, { method, code: 0 }],
    ["meridian.gateway.calls", 1, { method, code: -32_000 }],
  ]);
  expect(counted).toContainEqual(["meridian.gateway.binary.calls", 2, {}]);
});
