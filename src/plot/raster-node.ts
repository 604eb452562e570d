/**
 * From SVG to pixels, in Node: Skia, by `@napi-rs/canvas`. The package's `#raster` import picks this file in Node and
 * `raster-browser.ts` elsewhere.
 */
import type { SKRSContext2D } from "@napi-rs/canvas";
import { optional } from "./optional.js";
import { svgSize } from "./svg-size.js";
import { blocks, dots, iterm, kitty, type Pixels, type Protocol, protocolOf } from "./terminal.js";
import { font } from "./theme.js";

export interface TerminalOptions {
  /** How the terminal shows images; found out by default. */
  protocol?: Protocol;
  /** Characters across, where the picture is made of them; the terminal's width, at most 100, by default. */
  columns?: number;
  /** Where to write; standard output by default. */
  stream?: { write(text: string): unknown; isTTY?: boolean; columns?: number };
}

const canvasLibrary = () => optional("PNG", "@napi-rs/canvas", () => import("@napi-rs/canvas"));

/** What was said to be missing: once is enough. */
const said = new Set<string>();

/**
 * Says so where no font has a character of the drawing: it would be drawn as an empty box. A character is missing when it
 * looks like one that is none.
 */
function warnOfMissingGlyphs(svg: string, createCanvas: typeof import("@napi-rs/canvas").createCanvas): void {
  const texts = svg.match(/>[^<]+</g) ?? [];
  const odd = [...new Set(texts.join(""))].filter((character) => character > "\u024F" && !said.has(character));
  if (odd.length === 0) return;
  const look = (character: string): string => {
    const context = createCanvas(32, 32).getContext("2d");
    context.font = `16px ${font}`;
    context.fillText(character, 4, 22);
    return Buffer.from(context.getImageData(0, 0, 32, 32).data).toString("latin1");
  };
  const box = look("\u{10FFFE}");
  const missing = odd.slice(0, 500).filter((character) => look(character) === box);
  if (missing.length === 0) return;
  for (const character of missing) said.add(character);
  const some = missing.slice(0, 10).join("");
  process.emitWarning(
    `png: no font of this system has ${some}${missing.length > 10 ? " …" : ""}: empty boxes are drawn. Install one that has ` +
      "(for Korean, on Debian: fonts-nanum), or save the figure as .svg",
    "CressetWarning",
  );
}

async function draw(svg: string, width: number, height: number) {
  const { createCanvas, loadImage } = await canvasLibrary();
  warnOfMissingGlyphs(svg, createCanvas);
  const image = await loadImage(Buffer.from(svg));
  const canvas = createCanvas(width, height);
  const context: SKRSContext2D = canvas.getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  return { canvas, context };
}

/** A drawing as PNG, `scale` pixels for each of its own. */
export async function rasterize(svg: string, scale: number): Promise<Uint8Array> {
  const { width, height } = svgSize(svg);
  const { canvas } = await draw(svg, Math.ceil(width * scale), Math.ceil(height * scale));
  return canvas.encode("png");
}

async function pixelsOf(svg: string, width: number, height: number): Promise<Pixels> {
  const { context } = await draw(svg, width, height);
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

export async function showInTerminal(svg: string, options: TerminalOptions): Promise<void> {
  const { stream = process.stdout } = options;
  const protocol = options.protocol ?? protocolOf({ env: process.env, isTTY: stream.isTTY === true });
  const size = svgSize(svg);
  const columns = options.columns ?? Math.min(100, stream.columns ?? 80);
  stream.write(`${await encoded(svg, protocol, columns, size)}\n`);
}

async function encoded(
  svg: string,
  protocol: Protocol,
  columns: number,
  size: { width: number; height: number },
): Promise<string> {
  const ratio = size.height / size.width;
  switch (protocol) {
    case "kitty":
      return kitty(await rasterize(svg, 1));
    case "iterm":
      return iterm(await rasterize(svg, 2));
    case "sixel": {
      const { image2sixel } = await optional("sixel images", "sixel", () => import("sixel"));
      const { data, width, height } = await pixelsOf(svg, Math.round(size.width), Math.round(size.height));
      return image2sixel(data, width, height, 256);
    }
    case "blocks": {
      const trueColour = /truecolor|24bit/.test(process.env["COLORTERM"] ?? "");
      return blocks(await pixelsOf(svg, columns, Math.max(2, Math.round(columns * ratio))), trueColour);
    }
    case "dots":
      return dots(await pixelsOf(svg, columns * 2, Math.max(4, Math.round(columns * 2 * ratio))));
  }
}
