/** How a table is written: as text, and as HTML for notebooks. Long and wide tables show their edges. */
import { type Cell, type Column, cellOf } from "./column.js";

const edgeRows = 5;
const edgeColumns = 6;

/** The places shown of `count`; -1 stands for those left out. */
function edges(count: number, edge: number): number[] {
  const all = Array.from({ length: count }, (_, i) => i);
  return count <= 2 * edge ? all : [...all.slice(0, edge), -1, ...all.slice(-edge)];
}

function written(cell: Cell): string {
  if (cell === null) return "–";
  if (typeof cell !== "number" || Number.isInteger(cell)) return String(cell);
  return String(Number(cell.toPrecision(6)));
}

/** The shown part of a table: first the names, then the rows, each with its number. */
function grid(columns: readonly Column[], length: number): string[][] {
  const across = edges(columns.length, edgeColumns);
  const line = (head: string, cell: (column: Column) => string): string[] => [
    head,
    ...across.map((c) => (c < 0 ? "…" : cell(columns[c] as Column))),
  ];
  return [
    line("", ({ name }) => name),
    ...edges(length, edgeRows).map((row) =>
      row < 0 ? line("…", () => "…") : line(String(row), (column) => written(cellOf(column, row))),
    ),
  ];
}

export function textTable(columns: readonly Column[], length: number): string {
  const lines = grid(columns, length);
  const widths = (lines[0] ?? []).map((_, c) => Math.max(...lines.map((line) => (line[c] as string).length)));
  const text = lines.map((line) => line.map((cell, c) => cell.padStart(widths[c] as number)).join("  "));
  return `${text.join("\n")}\n[${length} rows × ${columns.length} columns]`;
}

export const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export function htmlTable(columns: readonly Column[], length: number): string {
  const [head = [], ...body] = grid(columns, length);
  const cells = (tag: string, line: readonly string[]): string =>
    line.map((cell, c) => (c === 0 ? `<th>${escapeHtml(cell)}</th>` : `<${tag}>${escapeHtml(cell)}</${tag}>`)).join("");
  const rows = body.map((line) => `<tr>${cells("td", line)}</tr>`).join("\n");
  return `<table>\n<thead><tr>${cells("th", head)}</tr></thead>\n<tbody>\n${rows}\n</tbody>\n</table>\n<p>${length} rows × ${columns.length} columns</p>`;
}
