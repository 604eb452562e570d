/** `#images` in a browser: its own decoders and encoders. The types are those of `image-codec-node.ts`. */
import { FormatError } from "../errors.js";
import type * as node from "./image-codec-node.js";

export type { ImageFormat, Pixels } from "./image-codec-node.js";

function contextOf(width: number, height: number): [OffscreenCanvas, OffscreenCanvasRenderingContext2D] {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null)
    throw new FormatError(`an image of ${width} × ${height} pixels is more than this browser draws`);
  return [canvas, context];
}

export const decode: typeof node.decode = async (bytes) => {
  // The bytes as they are: no turning of transparent colours, no colour profile of the screen.
  const bitmap = await createImageBitmap(new Blob([bytes]), { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const [, context] = contextOf(width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, rgba: context.getImageData(0, 0, width, height).data as Uint8ClampedArray<ArrayBuffer> };
};

export const encode: typeof node.encode = async ({ width, height, rgba }, format, quality) => {
  const [canvas, context] = contextOf(width, height);
  context.putImageData(new ImageData(rgba, width, height), 0, 0);
  const blob = await canvas.convertToBlob({ type: `image/${format}`, quality });
  if (blob.type !== `image/${format}`) throw new FormatError(`this browser writes no ${format}`);
  return new Uint8Array(await blob.arrayBuffer());
};
