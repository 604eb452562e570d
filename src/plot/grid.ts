/** Several figures in one: matplotlib's `subplots`. Drawings are placed side by side as they are. */
import { checkList, checkOptions, refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { Figure } from "./figure.js";
import { escapeXml } from "./page.js";
import { svgSize } from "./svg-size.js";
import { font, type Theme, themes } from "./theme.js";

export interface GridOptions {
  /** How many figures stand in a row; 2 by default, and 1 for one figure. */
  columns?: number;
  title?: string;
}

const gap = 8;
const titleHeight = 40;

/**
 * Figures in rows.
 *
 * @example
 * const both = plot.grid([plot.line([3, 2, 1]), plot.bar([1, 2, 3])], { title: "two views" });
 */
export function grid(figures: readonly Figure[], options: GridOptions = {}): Figure {
  checkList("grid", "figures", figures);
  checkOptions("grid", options);
  for (const [i, figure] of figures.entries()) {
    if (!(figure instanceof Figure)) refuseArgument("grid", `figures[${i}]`, figure, "a figure");
  }
  const { columns = Math.min(2, figures.length), title } = options;
  if (figures.length === 0) throw new ValueError("grid: no figures");
  if (!(Number.isInteger(columns) && columns > 0)) throw new ValueError(`grid: columns is ${columns}`);
  return new Figure(title ?? figures[0]?.title ?? "grid", async (theme: Theme) => {
    const drawings: { text: string; width: number; height: number }[] = [];
    for (const figure of figures) {
      const text = await figure.svg({ theme });
      drawings.push({ text, ...svgSize(text) });
    }
    const rows = Array.from({ length: Math.ceil(drawings.length / columns) }, (_, row) =>
      drawings.slice(row * columns, row * columns + columns),
    );
    // Columns and rows are as wide and as high as their largest.
    const widths = Array.from({ length: columns }, (_, c) => Math.max(0, ...rows.map((row) => row[c]?.width ?? 0)));
    const heights = rows.map((row) => Math.max(...row.map(({ height }) => height)));
    const before = (sizes: readonly number[], count: number): number =>
      sizes.slice(0, count).reduce((sum, size) => sum + size + gap, 0);
    const top = title === undefined ? 0 : titleHeight;
    const width = before(widths, columns) - gap;
    const height = before(heights, rows.length) - gap + top;
    const { background, text } = themes[theme];
    const heading =
      title === undefined
        ? ""
        : `<text x="${width / 2}" y="26" text-anchor="middle" font-family="${escapeXml(font)}" font-size="15" font-weight="600" fill="${text}">${escapeXml(title)}</text>`;
    const cells = rows.flatMap((row, r) =>
      row.map((drawing, c) => {
        const x = before(widths, c) + ((widths[c] as number) - drawing.width) / 2;
        const y = top + before(heights, r) + ((heights[r] as number) - drawing.height) / 2;
        return `<g transform="translate(${x},${y})">${withoutOuter(drawing.text)}</g>`;
      }),
    );
    return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><rect width="${width}" height="${height}" fill="${background}"/>${heading}${cells.join("")}</svg>`;
  });
}

/** A nested svg element is clipped and scaled differently by renderers: its content is taken, in a group. */
function withoutOuter(svg: string): string {
  return svg.replace(/^[\s\S]*?<svg[^>]*>/, "<g>").replace(/<\/svg>\s*$/, "</g>");
}
