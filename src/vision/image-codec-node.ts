/**
 * Image files in Node: Skia's decoders and encoders, through the optional package @napi-rs/canvas. It keeps colours
 * multiplied by their opacity, so PNG files with transparency go through fast-png instead, which keeps every byte. The
 * package's `#images` import picks this file in Node and `image-codec-browser.ts` elsewhere. Pixels are rows of RGBA bytes; what a tensor looks
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

async function exactPng(): Promise<typeof import("fast-png")> {
  try {
    return await import("fast-png");
  } catch (cause) {
    throw new DataError("PNG files with transparency need the package fast-png: npm install fast-png", { cause });
  }
}

/** PNG's colour types: 4 is grey with opacity, 6 red, green and blue with it, 3 has colours by number. */
function hasOpacity(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0x89) return false;
  const type = bytes[25];
  if (type === 4 || type === 6) return true;
  if (type !== 3) return false;
  const text = String.fromCharCode(...bytes.subarray(0, 4096));
  return text.includes("tRNS");
}

async function decodeExactly(bytes: Uint8Array): Promise<Pixels> {
  const { decode: decodePng, convertIndexedToRgb } = await exactPng();
  const image = decodePng(bytes, { checkCrc: true });
  const { width, height } = image;
  const size = width * height;
  const data = image.palette === undefined ? image.data : convertIndexedToRgb(image);
  const channels = data.length / size;
  // Of 16 bits the upper 8, as libpng does.
  const shift = data.BYTES_PER_ELEMENT === 2 ? 8 : 0;
  const rgba = new Uint8ClampedArray(4 * size).fill(255);
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = (data[i * channels + (channels < 3 ? 0 : c)] as number) >> shift;
    if (channels % 2 === 0) rgba[4 * i + 3] = (data[(i + 1) * channels - 1] as number) >> shift;
  }
  return { width, height, rgba };
}

/** The pixels of an image file. Rejects when the bytes are none. */
export async function decode(bytes: Uint8Array<ArrayBuffer>): Promise<Pixels> {
  if (hasOpacity(bytes)) return decodeExactly(bytes);
  const { createCanvas, loadImage } = await library();
  const image = await loadImage(bytes);
  const { width, height } = image;
  const context = createCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  return { width, height, rgba: new Uint8ClampedArray(context.getImageData(0, 0, width, height).data) };
}

/** The bytes of an image file. `quality`, from 0 to 1, is for jpeg and webp. */
export async function encode(pixels: Pixels, format: ImageFormat, quality: number): Promise<Uint8Array<ArrayBuffer>> {
  const { width, height, rgba } = pixels;
  if (format === "png" && rgba.some((value, i) => i % 4 === 3 && value < 255)) {
    const { encode: encodePng } = await exactPng();
    return new Uint8Array(encodePng({ width, height, data: rgba, channels: 4 }));
  }
  const { createCanvas, ImageData } = await library();
  const canvas = createCanvas(pixels.width, pixels.height);
  canvas.getContext("2d").putImageData(new ImageData(pixels.rgba, pixels.width, pixels.height), 0, 0);
  const bytes = format === "png" ? await canvas.encode("png") : await canvas.encode(format, Math.round(100 * quality));
  return new Uint8Array(bytes);
}
