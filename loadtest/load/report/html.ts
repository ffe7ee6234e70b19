/** The report as one HTML file that needs nothing else: charts by uPlot, its code and styles inlined. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Report } from "./write.ts";

const uplot = (file: string): string => readFileSync(fileURLToPath(import.meta.resolve(`uplot/dist/${file}`)), "utf8");

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

type Row = readonly (string | number)[];

const table = (head: Row, rows: readonly Row[]): string => {
  const cells = (row: Row, tag: string) => row.map((cell) => `<${tag}>${escape(String(cell))}</${tag}>`).join("");
  return `<table><tr>${cells(head, "th")}</tr>${rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("")}</table>`;
};

interface Chart {
  title: string;
  unit: string;
  lines: Record<string, number[]>;
}

const STYLE = `body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1000px;padding:0 1rem;color:#1c2430}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid #dfe4ea;text-align:right}th:first-child,td:first-child{text-align:left}
.big{font-size:2.4rem;font-weight:600}.good{color:#1b7f3b}.bad{color:#b3261e}code{background:#f2f4f7;padding:.1rem .3rem}`;

/** Draws what stands in \`charts\`; runs in the page. */
const DRAW = `const colours=["#2563eb","#d97706","#059669","#dc2626","#7c3aed","#0891b2","#be185d","#4d7c0f","#64748b"];
for(const {title,unit,lines} of charts){const names=Object.keys(lines);const length=Math.max(0,...names.map(n=>lines[n].length));
const box=document.createElement("div");document.getElementById("charts").append(box);
new uPlot({title,width:960,height:260,scales:{x:{time:false}},axes:[{label:"seconds"},{label:unit,size:70}],
series:[{label:"s"},...names.map((label,i)=>({label,stroke:colours[i%colours.length],width:1.5}))]},
[Array.from({length},(_,i)=>i),...names.map(n=>lines[n])],box);}`;

export function htmlOf(report: Report): string {
  const { numbers, verdicts, setting } = report;
  const { series } = numbers;
  const charts: Chart[] = [
    { title: "Calls a second", unit: "calls", lines: { confirmed: series.confirmed, sent: series.sent } },
    { title: "Slowest answer of each second", unit: "ms", lines: { answer: series.answerMs } },
    { title: "Processor cores by process", unit: "cores", lines: series.cores },
    { title: "Memory by process", unit: "MiB", lines: series.memoryMib },
  ];
  const number = (value: number, digits = 0) => value.toLocaleString("en-US", { maximumFractionDigits: digits });
  const spreads = Object.entries(numbers.latencyMs).map(([name, { p50, p95, p99, max }]) => [name, p50, p95, p99, max]);
  const costs = numbers.processes.map((process) => [
    process.name,
    ...[number(process.cpuSeconds, 2), number(process.microsecondsPerCall, 2), number(process.cores, 2)],
    ...[process.memoryMibMax, number(process.writtenBytes / 1_048_576, 1)],
  ]);
  const watts = `estimate: ${report.wattsPerCore} W a busy core`;
  const facts: Row[] = [
    ...Object.entries(setting).map(([name, value]): Row => [name, value]),
    ["calls", number(numbers.calls)],
    ["signatures", number(numbers.signatures)],
    ["signatures a second", number(numbers.signaturesPerSecond, 1)],
    ["accepted a second", number(numbers.acceptedTps)],
    ["from the first request to the last receipt, a second", number(numbers.overallTps)],
    ["dropped iterations", numbers.droppedIterations],
    ["CPU, us a call, all processes", number(numbers.microsecondsPerCall, 2)],
    ["bytes written a call", number(numbers.writtenBytesPerCall)],
    [`joules a call (${numbers.isEnergyEstimated ? watts : "RAPL"})`, numbers.joulesPerCall.toPrecision(3)],
  ];
  const judged = verdicts
    .map(({ name, isGood, text }) => `<li class="${isGood ? "good" : "bad"}">${name}: ${escape(text)}</li>`)
    .join("");
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(setting["scenario"] ?? "load")}</title>
<style>${uplot("uPlot.min.css")}${STYLE}</style>
<h1>${escape(`${setting["scenario"]}, ${setting["mode"]}`)}</h1><p class="big">${number(numbers.confirmedTps)} confirmed TPS</p>
<ul>${judged}</ul><p><code>${escape(report.command)}</code></p><div id="charts"></div>
<h2>Latency, ms</h2>${table(["", "p50", "p95", "p99", "max"], spreads)}
<h2>Where the processor time goes</h2>${table(["process", "CPU s", "us a call", "cores", "MiB", "MiB written"], costs)}
<h2>Setting</h2>${table(["", ""], facts)}
<script>${uplot("uPlot.iife.min.js")}</script>
<script>const charts=${JSON.stringify(charts).replaceAll("<", "\\u003c")};${DRAW}</script></html>
`;
}
