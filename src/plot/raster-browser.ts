/** `#raster` in a browser: the page's own canvas makes the pixels. The types are those of `raster-node.ts`. */
import { CressetError } from "../errors.js";
import type * as node from "./raster-node.js";
import { svgSize } from "./svg-size.js";

export type { TerminalOptions } from "./raster-node.js";

export const rasterize: typeof node.rasterize = async (svg, scale) => {
  const { width, height } = svgSize(svg);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * scale);
  canvas.height = Math.ceil(height * scale);
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob === null) throw new CressetError("png: the browser made no image of the figure");
  return new Uint8Array(await blob.arrayBuffer());
};

export const showInTerminal: typeof node.showInTerminal = async () => {
  throw new CressetError("show: there is no terminal in a browser; use mount(element)");
};
