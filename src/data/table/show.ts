/** How a table is written: as text, and as HTML for notebooks. Long and wide tables show their edges. */
import { type Cell, type Column, cellOf } from "./column.js";

const edgeRows = 5;
const edgeColumns = 6;

/** The places shown of `count`; -1 stands for those left out. */
export function edges(count: number, edge: number): number[] {
  const all = Array.from({ length: count }, (_, i) => i);
  return count <= 2 * edge ? all : [...all.slice(0, edge), -1, ...all.slice(-edge)];
}

/** As much of a text as is shown, on one line: pandas's display.max_colwidth. */
const longest = 50;

export function written(cell: Cell): string {
  if (cell === null) return "–";
  if (typeof cell === "string") {
    const line = cell.replace(/\p{Cc}/gu, (c) => JSON.stringify(c).slice(1, -1));
    return line.length > longest ? `${[...line].slice(0, longest - 1).join("")}…` : line;
  }
  if (typeof cell !== "number" || Number.isInteger(cell) || !Number.isFinite(cell)) return String(cell);
  // Six digits, but no digit before the point is lost.
  const before = Math.floor(Math.log10(Math.abs(cell))) + 1;
  return String(Number(cell.toPrecision(Math.min(17, Math.max(6, before + 2)))));
}

/** Columns of a terminal that a text takes: hangul, hanja, kana and most pictures take two. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += wide.test(character) ? 2 : 1;
  return width;
}
const wide =
  /[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1FAFF}\u{20000}-\u{3FFFD}]/u;

export const padded = (text: string, width: number, side: "left" | "right"): string => {
  const room = " ".repeat(Math.max(0, width - widthOf(text)));
  return side === "left" ? room + text : text + room;
};
export const widestOf = (texts: readonly string[]): number =>
  texts.reduce((most, text) => Math.max(most, widthOf(text)), 0);

/** The shown part of a table: first the names, then the rows, each with its number. */
function grid(columns: readonly Column[], length: number): string[][] {
  const across = edges(columns.length, edgeColumns);
  const line = (head: string, cell: (column: Column) => string): string[] => [
    head,
    ...across.map((c) => (c < 0 ? "…" : cell(columns[c] as Column))),
  ];
  return [
    line("", ({ name }) => written(name)),
    ...edges(length, edgeRows).map((row) =>
      row < 0 ? line("…", () => "…") : line(String(row), (column) => written(cellOf(column, row))),
    ),
  ];
}

export function textTable(columns: readonly Column[], length: number): string {
  const lines = grid(columns, length);
  const widths = (lines[0] ?? []).map((_, c) => widestOf(lines.map((line) => line[c] as string)));
  const text = lines.map((line) => line.map((cell, c) => padded(cell, widths[c] as number, "left")).join("  "));
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
