/**
 * Draws cresset : PyTorch of every workload from a run's results, as an SVG that is readable on light and dark pages.
 * `node bench/chart.mjs` redraws chart.svg from results.json.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { workloads } from "./lib.mjs";
import { find, groupOf } from "./report.mjs";

const engines = { native: "native", wasm: "WebAssembly" };

/** One row a bar: how many times as fast as PyTorch with as many threads (WebAssembly has one where it has no more). */
function bars({ results }) {
  const rows = [];
  const order = ["step", "matmul", "conv", "pass", "small"];
  const members = workloads
    .filter((w) => order.includes(groupOf(w)))
    .sort((a, b) => order.indexOf(groupOf(a)) - order.indexOf(groupOf(b)));
  const counts = new Set(Object.values(results).flatMap((byThreads) => Object.keys(byThreads).map(Number)));
  for (const threads of [...counts].sort((a, b) => a - b)) {
    for (const workload of members) {
      const { name } = workload;
      const theirs = results[name]?.[threads]?.pytorch?.median_us;
      for (const [id, engine] of Object.entries(engines)) {
        const ratio = theirs / find(results, workload, threads, id)[0]?.median_us;
        if (Number.isFinite(ratio)) {
          const columns = threads === 1 ? "1 thread" : `${threads} threads`;
          rows.push({ name, columns, engine, ratio, label: `${ratio.toPrecision(2)}×` });
        }
      }
    }
  }
  return rows;
}

function specification(rows) {
  const ratios = rows.map((row) => row.ratio);
  const names = [...new Set(rows.map((row) => row.name))];
  const domain = [Math.min(0.1, ...ratios) * 0.8, Math.max(10, ...ratios) * 1.6];
  const x = { field: "ratio", type: "quantitative", scale: { type: "log", domain, nice: false } };
  const position = {
    y: {
      field: "name",
      type: "nominal",
      sort: names,
      title: null,
      axis: { ticks: false, domain: false, labelPadding: 8 },
      scale: { paddingInner: 0.3 },
    },
    yOffset: { field: "engine", sort: Object.values(engines) },
  };
  const values = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].filter((v) => v > domain[0] && v < domain[1]);
  return {
    data: { values: rows },
    facet: { column: { field: "columns", title: null, header: { labelFontWeight: "bold", labelFontSize: 13 } } },
    spec: {
      width: 330,
      height: { step: 9 },
      layer: [
        {
          mark: { type: "bar", aria: false },
          encoding: {
            ...position,
            x: {
              ...x,
              axis: { values, labelExpr: "datum.value + '×'", title: "times as fast as PyTorch", tickCount: 9 },
            },
            x2: { datum: 1 },
            color: {
              field: "engine",
              sort: Object.values(engines),
              scale: { domain: Object.values(engines), range: ["#2f81f7", "#d98a1f"] },
              legend: { title: "cresset", orient: "top" },
            },
          },
        },
        ...[
          ["datum.ratio >= 1", "left", 3],
          ["datum.ratio < 1", "right", -3],
        ].map(([filter, align, dx]) => ({
          transform: [{ filter }],
          mark: { type: "text", align, dx, baseline: "middle", fontSize: 8, aria: false },
          encoding: { ...position, x, text: { field: "label" }, color: { value: "currentColor" } },
        })),
        {
          data: { values: [{ one: 1 }] },
          mark: { type: "rule", strokeWidth: 1.5, aria: false },
          encoding: { x: { field: "one", type: "quantitative" }, color: { value: "currentColor" } },
        },
      ],
    },
    config: {
      aria: false,
      background: null, // the style's, so that a page of the other scheme does not swallow the text
      padding: 12,
      font: "system-ui, sans-serif",
      axis: { labelColor: "currentColor", titleColor: "currentColor", gridColor: "currentColor", gridOpacity: 0.15 },
      axisX: { domainColor: "currentColor", tickColor: "currentColor", titleFontWeight: "normal" },
      axisY: { grid: false },
      legend: { labelColor: "currentColor", titleColor: "currentColor" },
      header: { labelColor: "currentColor" },
      view: { stroke: null },
    },
  };
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** The chart of a run's data, or null where cresset and PyTorch did not meet. */
export async function chart(data) {
  const rows = bars(data);
  if (rows.length === 0) return null;
  const [vega, lite] = await Promise.all([import("vega"), import("vega-lite")]);
  const view = new vega.View(vega.parse(lite.compile(specification(rows)).spec), { renderer: "none" });
  // The title and the description say it all: no role for each bar.
  const svg = (await view.toSVG()).replace(/ (role|aria-[a-z]+)="[^"]*"/g, "");
  const title = "cresset : PyTorch, how many times as fast, by workload";
  const description = rows.map((row) => `${row.name}, ${row.columns}, ${row.engine}: ${row.label}`).join("; ");
  const head = `<title id="t">${escaped(title)}</title>
<desc id="d">${escaped(`${data.date}, ${data.machine.cpu}. ${description}.`)}</desc>
<style>svg { color: #1f2328; background: #fff }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #0d1117 } }</style>`;
  return `${svg.replace(/^<svg([^>]*)>/, (_, attributes) => `<svg role="img" aria-labelledby="t d"${attributes}>\n${head}`)}\n`;
}

if (process.argv[1] === import.meta.filename) {
  const file = (name) => path.join(import.meta.dirname, name);
  writeFileSync(file("chart.svg"), await chart(JSON.parse(readFileSync(file("results.json"), "utf8"))));
}
