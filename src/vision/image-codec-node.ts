/**
 * Image files in Node: Skia's decoders and encoders, through the optional package @napi-rs/canvas. The package's `#images`
 * import picks this file in Node and `image-codec-browser.ts` elsewhere. Pixels are rows of RGBA bytes; what a tensor looks
 * like is the business of `image-file.ts`.
 */
import { DataError } from "../errors.js";

export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue, alpha; row after row. */
  readonly rgba: Uint8ClampedArray<ArrayBuffer>;
}

export type ImageFormat = "png" | "jpeg" | "webp";

async function library(): Promise<typeof import("@napi-rs/canvas")> {
  try {
    return await import("@napi-rs/canvas");
  } catch (cause) {
    throw new DataError("image files need the package @napi-rs/canvas: npm install @napi-rs/canvas", { cause });
  }
}

/** The pixels of an image file. Rejects when the bytes are none. */
export async function decode(bytes: Uint8Array<ArrayBuffer>): Promise<Pixels> {
  const { createCanvas, loadImage } = await library();
  const image = await loadImage(bytes);
  const { width, height } = image;
  const context = createCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  return { width, height, rgba: new Uint8ClampedArray(context.getImageData(0, 0, width, height).data) };
}

/** The bytes of an image file. `quality`, from 0 to 1, is for jpeg and webp. */
export async function encode(pixels: Pixels, format: ImageFormat, quality: number): Promise<Uint8Array<ArrayBuffer>> {
  const { createCanvas, ImageData } = await library();
  const canvas = createCanvas(pixels.width, pixels.height);
  canvas.getContext("2d").putImageData(new ImageData(pixels.rgba, pixels.width, pixels.height), 0, 0);
  const bytes = format === "png" ? await canvas.encode("png") : await canvas.encode(format, Math.round(100 * quality));
  return new Uint8Array(bytes);
}
