/** A receiver of OTLP metrics (http/json) for one run: what services count, without a collector. */
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";

interface NumberPoint {
  asInt?: string | number;
  asDouble?: number;
  attributes?: { key: string; value: { stringValue?: string; intValue?: string | number } }[];
}
interface HistogramPoint extends NumberPoint {
  count?: string | number;
  sum?: number;
  bucketCounts?: (string | number)[];
  explicitBounds?: number[];
}
interface Otlp {
  resourceMetrics?: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeMetrics: {
      metrics: { name: string; sum?: { dataPoints: NumberPoint[] }; histogram?: { dataPoints: HistogramPoint[] } }[];
    }[];
  }[];
}

export interface Histogram {
  count: number;
  sum: number;
  buckets: number[];
  bounds: number[];
}

export interface MetricsReceiver {
  /** Environment of the services that report here. */
  env: Record<string, string>;
  /** Sum of a counter over all processes and points whose attributes hold `attributes`; cumulative since their start. */
  counter(name: string, attributes?: Record<string, string>): number;
  /** A histogram over all processes; cumulative since their start. */
  histogram(name: string): Histogram;
  close(): void;
}

/** How often services report. */
const INTERVAL_MS = 500;

export async function receiveMetrics(): Promise<MetricsReceiver> {
  const points = new Map<string, NumberPoint>();
  const histograms = new Map<string, HistogramPoint>();
  const take = ({ resourceMetrics = [] }: Otlp): void => {
    for (const { resource, scopeMetrics } of resourceMetrics) {
      const process = JSON.stringify(resource.attributes);
      for (const { name, sum, histogram } of scopeMetrics.flatMap(({ metrics }) => metrics)) {
        for (const point of sum?.dataPoints ?? []) points.set(keyOf(name, process, point), point);
        for (const point of histogram?.dataPoints ?? []) histograms.set(keyOf(name, process, point), point);
      }
    }
  };
  const server: Server = createServer((incoming, outgoing) => {
    const parts: Buffer[] = [];
    incoming.on("data", (part: Buffer) => parts.push(part));
    incoming.on("end", () => {
      if (incoming.url === "/v1/metrics") take(JSON.parse(Buffer.concat(parts).toString()) as Otlp);
      outgoing.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    env: {
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/metrics`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRIC_EXPORT_INTERVAL: `${INTERVAL_MS}`,
      OTEL_METRIC_EXPORT_TIMEOUT: `${INTERVAL_MS}`,
    },
    counter: (name, attributes = {}) => {
      const wanted = Object.entries(attributes);
      return [...points]
        .filter(([key, point]) => key.startsWith(`${name}|`) && wanted.every(([at, value]) => attributeOf(point, at) === value))
        .reduce((total, [, { asInt, asDouble }]) => total + Number(asInt ?? asDouble ?? 0), 0);
    },
    histogram: (name) =>
      [...histograms].filter(([key]) => key.startsWith(`${name}|`)).reduce((total, [, point]) => added(total, point), NOTHING),
    close: () => server.close(),
  };
}

const NOTHING: Histogram = { count: 0, sum: 0, buckets: [], bounds: [] };
const keyOf = (name: string, process: string, point: NumberPoint): string =>
  `${name}|${process}|${JSON.stringify(point.attributes ?? [])}`;

function attributeOf({ attributes = [] }: NumberPoint, key: string): string | undefined {
  const value = attributes.find((attribute) => attribute.key === key)?.value;
  return value?.stringValue ?? (value?.intValue === undefined ? undefined : String(value.intValue));
}

function added(total: Histogram, { count = 0, sum = 0, bucketCounts = [], explicitBounds = [] }: HistogramPoint): Histogram {
  return {
    count: total.count + Number(count),
    sum: total.sum + sum,
    buckets: bucketCounts.map((value, index) => Number(value) + (total.buckets[index] ?? 0)),
    bounds: explicitBounds,
  };
}

/** What was counted between two looks at one histogram. */
export const between = (before: Histogram, after: Histogram): Histogram => ({
  count: after.count - before.count,
  sum: after.sum - before.sum,
  buckets: after.buckets.map((value, index) => value - (before.buckets[index] ?? 0)),
  bounds: after.bounds,
});

/** The value below which `share` (0 to 1) lie, linear inside its bucket; 0 of nothing, the last bound beyond it. */
export function quantile({ buckets, bounds }: Histogram, share: number): number {
  const wanted = buckets.reduce((sum, value) => sum + value, 0) * share;
  if (wanted === 0) return 0;
  let passed = 0;
  for (const [index, value] of buckets.entries()) {
    if (passed + value < wanted) {
      passed += value;
      continue;
    }
    const [low, high] = [bounds[index - 1] ?? 0, bounds[index]];
    return high === undefined ? low : low + ((high - low) * (wanted - passed)) / value;
  }
  return bounds.at(-1) ?? 0;
}
