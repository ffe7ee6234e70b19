/** One trace from the JSON-RPC request through the flush and the partition to the block, as a receiver of OTLP sees it. */
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type TestAccount, testAccounts } from "../src/accounts.ts";
import { sign } from "../src/workload/sign.ts";
import { CHAIN_ID, type TestCluster, startTestCluster } from "./cluster.ts";

interface Span {
  service: string;
  name: string;
  spanId: string;
  parents: string[]; // parent and links
}
interface Otlp {
  resourceSpans?: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: {
      spans: {
        name: string;
        spanId: string;
        parentSpanId?: string;
        links?: { spanId: string }[];
      }[];
    }[];
  }[];
}

const spans = new Map<string, Span>();
let receiver: Server;
let on: TestCluster;

function take({ resourceSpans = [] }: Otlp): void {
  for (const { resource, scopeSpans } of resourceSpans) {
    const service = resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue ?? "";
    for (const { name, spanId, parentSpanId, links = [] } of scopeSpans.flatMap((scope) => scope.spans)) {
      const parents = [parentSpanId ?? "", ...links.map((link) => link.spanId)].filter((id) => id !== "");
      spans.set(spanId, { service, name, spanId, parents });
    }
  }
}

beforeAll(async () => {
  receiver = createServer((incoming, outgoing) => {
    const parts: Buffer[] = [];
    incoming.on("data", (part: Buffer) => parts.push(part));
    incoming.on("end", () => {
      if (incoming.url === "/v1/traces") take(JSON.parse(Buffer.concat(parts).toString()) as Otlp);
      outgoing.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_BSP_SCHEDULE_DELAY: "200",
  };
  on = await startTestCluster({ env });
});
afterAll(async () => {
  await on.stop();
  receiver.close();
});

/** All spans that caused this one, by parent or link. */
function causesOf(span: Span): Span[] {
  const causes = new Map<string, Span>();
  const open = [...span.parents];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const cause = spans.get(id);
    if (cause === undefined || causes.has(id)) continue;
    causes.set(id, cause);
    open.push(...cause.parents);
  }
  return [...causes.values()];
}

test("a transaction's way is one tree over four services, from the request to the block", async () => {
  const sender = testAccounts(1)[0] as TestAccount;
  const transaction = { nonce: 0, to: sender.addressBytes, data: new Uint8Array(0), valueWei: 1n, gasLimit: 21_000 };
  const { raw, hash } = sign(CHAIN_ID, sender, transaction);
  expect(await on.rpc.call("eth_sendRawTransaction", raw)).toBe(hash);
  const want = ["gateway rpc", "gateway submit", "scheduler flush", "partition apply", "partition publish"];
  await vi.waitFor(
    () => {
      const blocks = [...spans.values()].filter((span) => span.service === "meridian-archive" && span.name === "block");
      const ways = blocks.map((span) => causesOf(span).map(({ service, name }) => `${service.replace("meridian-", "")} ${name}`));
      const whole = ways.filter((way) => want.every((step) => way.includes(step)));
      expect(whole.length, [...spans.values()].map(({ service, name }) => `${service} ${name}`).join(", ")).toBeGreaterThan(0);
    },
    { timeout: 15_000, interval: 200 },
  );
});
