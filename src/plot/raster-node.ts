/**
 * From SVG to pixels, in Node: Skia, by `@napi-rs/canvas`. The package's `#raster` import picks this file in Node and
 * `raster-browser.ts` elsewhere.
 */
import type { SKRSContext2D } from "@napi-rs/canvas";
import { optional } from "./optional.js";
import { svgSize } from "./svg-size.js";
import { blocks, dots, iterm, kitty, type Pixels, type Protocol, protocolOf } from "./terminal.js";

export interface TerminalOptions {
  /** How the terminal shows images; found out by default. */
  protocol?: Protocol;
  /** Characters across, where the picture is made of them; the terminal's width, at most 100, by default. */
  columns?: number;
  /** Where to write; standard output by default. */
  stream?: { write(text: string): unknown; isTTY?: boolean; columns?: number };
}

const canvasLibrary = () => optional("PNG", "@napi-rs/canvas", () => import("@napi-rs/canvas"));

async function draw(svg: string, width: number, height: number) {
  const { createCanvas, loadImage } = await canvasLibrary();
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
