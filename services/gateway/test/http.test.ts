import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, expect, describe, test } from "vitest";
import { alice, bob, sign, startRig } from "./client.ts";
import type { Rig, RigOptions, RpcAnswer } from "./client.ts";

let rig: Rig;
const start = async (options?: RigOptions) => (rig = await startRig(options));
afterEach(async () => {
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

const CHAIN_ID = { jsonrpc: "2.0", id: 1, method: "eth_chainId" };

/** A request as bytes, because fetch does not let a Host header through. */
async function rawRequest(lines: string[], body = ""): Promise<string> {
  const socket = connect(rig.gateway.port, "127.0.0.1");
  socket.write(`${[...lines, "connection: close", `content-length: ${Buffer.byteLength(body)}`].join("\r\n")}\r\n\r\n${body}`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("requests", () => {
  test("anything but JSON by POST", async () => {
    await start();
    const hint = await fetch(rig.url);
    expect([hint.status, await hint.text()]).toEqual([200, expect.stringContaining("POST application/json")]);
    expect((await fetch(rig.url, { method: "PUT", body: "x" })).status).toBe(405);
    expect((await fetch(rig.url, { method: "DELETE" })).status).toBe(405);
    const typed = await fetch(rig.url, { method: "POST", body: "{}", headers: { "content-type": "text/plain" } });
    expect([typed.status, await typed.text()]).toEqual([415, "invalid content type, only application/json is supported\n"]);
  });

  test("content types of JSON-RPC, with parameters, bodies in chunks", async () => {
    await start();
    for (const type of ["application/json; charset=utf-8", "application/json-rpc", "application/jsonrequest"]) {
      expect(await (await rig.post(CHAIN_ID, { "content-type": type })).json()).toMatchObject({ result: "0x7a69" });
    }
    const text = JSON.stringify(CHAIN_ID);
    const body = new ReadableStream({
      start(controller) {
        for (const part of [text.slice(0, 9), text.slice(9)]) controller.enqueue(Buffer.from(part));
        controller.close();
      },
    });
    const init = { method: "POST", body, duplex: "half", headers: { "content-type": "application/json" } };
    expect(await (await fetch(rig.url, init as RequestInit)).json()).toMatchObject({ result: "0x7a69" });
  });

  test.each<[what: string, body: string, answer: unknown]>([
    ["no JSON", "{", { jsonrpc: "2.0", id: null, error: { code: -32_700, message: "parse error" } }],
    [
      "no JSON that speaks of sending",
      '{"eth_sendRawTransaction',
      { jsonrpc: "2.0", id: null, error: { code: -32_700, message: "parse error" } },
    ],
    ["an empty batch", "[]", { jsonrpc: "2.0", id: null, error: { code: -32_600, message: "empty batch" } }],
    ["no request", "{}", { jsonrpc: "2.0", id: null, error: { code: -32_600, message: "invalid request" } }],
  ])("%s", async (_what, body, answer) => {
    await start();
    expect(await (await rig.post(body)).json()).toEqual(answer);
    expect(rig.chain.submits).toEqual([]);
  });

  test("an empty body is answered with nothing, as load balancers expect", async () => {
    await start();
    const response = await rig.post("");
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  test("a client that leaves in the middle of its body does no harm", async () => {
    await start();
    const socket = connect(rig.gateway.port, "127.0.0.1");
    socket.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{");
    await new Promise((resolve) => socket.once("ready", resolve));
    socket.destroy();
    expect(await rig.result("eth_chainId")).toBe("0x7a69");
  });
});

describe("limits", () => {
  test("an oversized batch, also of transactions", async () => {
    await start({ limits: { batchMax: 2 } });
    const raw = await sign();
    const send = { jsonrpc: "2.0", id: 7, method: "eth_sendRawTransaction", params: [raw] };
    for (const batch of [[1, 2, 3].map((id) => ({ ...CHAIN_ID, id: id + 6 })), [send, send, send]]) {
      expect(await (await rig.post(batch)).json()).toEqual([
        { jsonrpc: "2.0", id: 7, error: { code: -32_600, message: "batch too large" } },
      ]);
    }
    expect(rig.chain.submits).toEqual([]);
  });

  test("an oversized body, announced or not", async () => {
    await start({ limits: { bodyBytesMax: 1_000 } });
    const response = await rig.post({ ...CHAIN_ID, params: ["x".repeat(1_000)] });
    expect([response.status, await response.text()]).toEqual([413, "content length too large (1061>1000)\n"]);
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(Buffer.alloc(600, " ")) });
    const init = { method: "POST", body, duplex: "half", headers: { "content-type": "application/json" } };
    const endless = await fetch(rig.url, init as RequestInit);
    expect([endless.status, await endless.text()]).toEqual([413, "content length too large (more than 1000)\n"]);
  });

  test("an oversized response, alone and in a batch", async () => {
    await start({ limits: { responseBytesMax: 1_500 } });
    rig.chain.closeBlock();
    const call = { jsonrpc: "2.0", method: "eth_getBlockByNumber", params: ["0x1", false] };
    const tooLarge = { code: -32_003, message: "response too large" };
    const answers = (await (await rig.post([1, 2].map((id) => ({ ...call, id })))).json()) as RpcAnswer[];
    expect(answers.map(({ id, error }) => [id, error])).toEqual([
      [1, tooLarge],
      [2, tooLarge],
    ]);
    expect(await rig.call("eth_getBlockByNumber", "0x1", false)).toEqual({ jsonrpc: "2.0", id: 1, error: tooLarge });
    const many = Array.from({ length: 100 }, (_, id) => ({ ...CHAIN_ID, id }));
    const mixed = (await (await rig.post(many)).json()) as RpcAnswer[];
    expect(mixed.map(({ id }) => id)).toEqual(many.map(({ id }) => id));
    expect(mixed.at(0)?.result).toBe("0x7a69");
    expect(mixed.at(-1)?.error).toEqual(tooLarge);
  });

  test("more calls a second than one client may make", async () => {
    await start({ limits: { callsPerSecondMax: 3 } });
    const [raw, other] = [await sign(), await sign({}, bob)];
    const send = (id: number, params: unknown[]) => ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params });
    const responses = [await rig.post([CHAIN_ID, CHAIN_ID]), await rig.post([send(1, [raw]), send(2, [other])])];
    expect(responses.map(({ status }) => status)).toEqual([200, 429]);
    expect(responses[1]?.headers.get("retry-after")).toBe("1");
    expect(await responses[1]?.json()).toEqual({
      jsonrpc: "2.0",
      id: null,
      error: { code: -32_005, message: "rate limit exceeded: at most 3 calls a second" },
    });
    expect(rig.chain.submits).toEqual([]);
  });
});

describe("who may ask", () => {
  test.each<[host: string, status: string]>([
    ["localhost:8545", "200 OK"],
    ["127.0.0.1", "200 OK"],
    ["[::1]:8545", "200 OK"],
    ["evil.example", "403 Forbidden"],
  ])("Host %s", async (host, status) => {
    await start();
    const lines = ["POST / HTTP/1.1", `host: ${host}`, "content-type: application/json"];
    expect(await rawRequest(lines, JSON.stringify(CHAIN_ID))).toContain(`HTTP/1.1 ${status}\r\n`);
  });

  test("a page of another origin may not read, by default", async () => {
    await start();
    const response = await rig.post(CHAIN_ID, { origin: "http://example.org" });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("a preflight and the call after it", async () => {
    await start({ origins: ["http://example.org"] });
    const preflight = await fetch(rig.url, {
      method: "OPTIONS",
      headers: {
        origin: "http://example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
      },
    });
    expect(preflight.status).toBe(204);
    expect(Object.fromEntries(preflight.headers)).toMatchObject({
      "access-control-allow-origin": "http://example.org",
      "access-control-allow-methods": "POST, GET",
      "access-control-allow-headers": "content-type",
      "access-control-max-age": "600",
    });
    const call = await rig.post(CHAIN_ID, { origin: "http://example.org" });
    expect(call.headers.get("access-control-allow-origin")).toBe("http://example.org");
    expect((await rig.post(CHAIN_ID, { origin: "http://example.com" })).headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("probes", () => {
  test("alive always, ready while a leader is heard", async () => {
    await start();
    await expect.poll(async () => (await fetch(`${rig.url}readyz`)).status).toBe(200);
    rig.chain.silence();
    await expect.poll(async () => (await fetch(`${rig.url}readyz`)).status).toBe(503);
    const alive = await fetch(`${rig.url}healthz`);
    expect([alive.status, await alive.json()]).toEqual([200, expect.objectContaining({ term: null, latest: 0 })]);
  });

  test("before the first beat constants are answered and blocks are not known", async () => {
    await start({ isSilent: true, limits: { firstBeatMsMax: 50 } });
    expect((await fetch(`${rig.url}readyz`)).status).toBe(503);
    expect(await rig.result("eth_chainId")).toBe("0x7a69");
    expect((await rig.call("eth_blockNumber")).error).toEqual({
      code: -32_000,
      message: "no block is known yet: no scheduler leads",
    });
    const waiting = rig.call("eth_getBalance", alice.address);
    rig.chain.lead(1);
    expect((await waiting).error).toBeUndefined();
  });

  test("on a port of their own", async () => {
    const port = await freePort();
    await start({ healthPort: port });
    await expect.poll(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, () => resolve()));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("when parts are missing", () => {
  test("nobody there: errors after a bounded time", async () => {
    await start();
    rig.chain.stopPartitions();
    const error = { code: -32_000, message: "what this call needs is not running at the moment: ask again" };
    expect((await rig.call("eth_getBalance", alice.address)).error).toEqual(error);
    expect((await rig.call("eth_sendRawTransaction", await sign({ value: 1n }))).error?.message).toMatch(
      /^partition \d does not answer: the transaction was not sent$/,
    );
    expect(rig.chain.submits).toEqual([]);
  });

  test("stopped for good: says why", async () => {
    await start();
    rig.chain.onRead = () => ({ op: "failed", failure: { code: "STOPPED", text: "broken chain at 7" } });
    expect((await rig.call("eth_getBalance", alice.address)).error).toEqual({
      code: -32_000,
      message: expect.stringMatching(/^partition \d has stopped: broken chain at 7$/) as string,
    });
    rig.chain.archive.onQuery = () => ({ op: "failed", failure: { code: "BEHIND", newest: 3 } });
    expect((await rig.call("eth_getBlockByNumber", "latest", false)).error).toEqual({
      code: -32_000,
      message: "the archive has only reached block 3: ask again",
    });
  });
});
