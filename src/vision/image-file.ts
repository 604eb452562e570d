/**
 * Images in files and bytes, as tensors: PNG, JPEG, WebP, GIF and BMP in, PNG, JPEG and WebP out. Decoding is a library's in
 * Node and the browser's own there (`#images`); here are bounds, channels and shapes. Grids of images are in `grid.ts`.
 *
 * Source of the names: https://docs.pytorch.org/vision/stable/io.html
 */
import { readFile, writeFileAtomic } from "#files";
import { decode, encode, type ImageFormat } from "#images";
import { checkBytes, checkOptions, checkPath, checkTensor, inWords } from "../arguments.js";
import { CressetError, DTypeError, FormatError, ShapeError, ValueError } from "../errors.js";
import { fromTypedArray, type Tensor } from "../tensor/index.js";
import { checkPng } from "./png-check.js";

/** What the channels of a tensor are: red, green and blue; those and alpha; or grey. */
export type ImageMode = "rgb" | "rgba" | "gray";

export interface DecodeOptions {
  /** "rgb" by default, whatever is in the file, so that all images of a data set have one shape. */
  mode?: ImageMode;
  /** An image with more pixels is refused before it is unpacked: a small file can claim any size. 2²⁷ by default. */
  maxPixels?: number;
}

export interface EncodeOptions {
  /** "png" by default; `writeImage` takes it from the file's name. */
  format?: ImageFormat;
  /** For jpeg and webp, from 0 to 1; 0.9 by default. */
  quality?: number;
}

const channelsOf: Readonly<Record<ImageMode, number>> = { rgb: 3, rgba: 4, gray: 1 };
const maxFileBytes = 2 ** 29;

/**
 * The image in the bytes of a file, uint8 (C, H, W), with 3 channels, or 1 or 4 as `mode` says. Grey is ITU-R 601's:
 * 0.299 R + 0.587 G + 0.114 B, rounded as Pillow does. Colours under transparency are kept in PNG files (in a browser
 * they are rounded, and lost where nothing shows).
 *
 * Errors: FormatError for bytes that are no image, cut off, or claim more than `maxPixels`, and for a damaged PNG (a JPEG has
 * no checksum: what is damaged inside it shows as noise); DataError in Node without @napi-rs/canvas.
 *
 * @example
 * const image = await decodeImage(new Uint8Array(await (await fetch(url)).arrayBuffer()));
 */
export async function decodeImage(
  bytes: Uint8Array,
  options: DecodeOptions = {},
  name = "image data",
): Promise<Tensor> {
  checkBytes("decodeImage", bytes);
  checkOptions("decodeImage", options);
  const { mode = "rgb", maxPixels = 2 ** 27 } = options;
  if (!Object.hasOwn(channelsOf, mode))
    throw new ValueError(`decodeImage: mode is ${inWords(mode)}; it is rgb, rgba or gray`);
  const { width, height } = await checkHeader(bytes, name);
  if (!(width > 0 && height > 0)) throw new FormatError(`${name}: an image of ${width} × ${height} pixels`);
  if (width * height > maxPixels) {
    throw new FormatError(`${name}: claims ${width} × ${height} pixels; at most ${maxPixels} are taken`);
  }
  if (bytes[0] === 0x89) await checkPng(bytes, width, height, name);
  let pixels: Awaited<ReturnType<typeof decode>>;
  try {
    pixels = await decode(bytes as Uint8Array<ArrayBuffer>);
  } catch (error) {
    if (error instanceof CressetError) throw error;
    throw new FormatError(`${name}: damaged: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  return fromTypedArray(planes(pixels.rgba, mode), [channelsOf[mode], pixels.height, pixels.width]);
}

/**
 * The image in a file. As `decodeImage`; DataError when there is no file.
 *
 * @example
 * const image = await readImage("cat.jpg"); // uint8 (3, H, W)
 */
export async function readImage(path: string, options: DecodeOptions = {}): Promise<Tensor> {
  checkPath("readImage", path);
  checkOptions("readImage", options);
  return decodeImage(readFile(path, maxFileBytes), options, path);
}

/**
 * The bytes of an image file. The tensor is (H, W) or (C, H, W) with 1, 3 or 4 channels: uint8, or floats, of which 0 is
 * black and 1 is full; what lies outside is cut off.
 *
 * Errors: ShapeError and DTypeError for a tensor that is no image.
 *
 * @example
 * const png = await encodeImage(torch.rand([3, 16, 16]));
 */
export async function encodeImage(image: Tensor, options: EncodeOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  checkTensor("encodeImage", "image", image);
  checkOptions("encodeImage", options);
  const { format = "png", quality = 0.9 } = options;
  if (!["png", "jpeg", "webp"].includes(format)) {
    throw new ValueError(`encodeImage: format is ${inWords(format)}; it is png, jpeg or webp`);
  }
  if (!(quality >= 0 && quality <= 1))
    throw new ValueError(`encodeImage: quality is ${quality}; it must be from 0 to 1`);
  const shape = image.ndim === 2 ? [1, ...image.shape] : [...image.shape];
  const [channels, height, width] = shape as [number, number, number];
  if (shape.length !== 3 || ![1, 3, 4].includes(channels) || height === 0 || width === 0) {
    throw new ShapeError(
      `encodeImage: an image has shape (H, W) or (C, H, W) with 1, 3 or 4 channels, not (${image.shape.join(", ")})`,
    );
  }
  const bytes = toBytes(image.detach()).toTypedArray() as Uint8Array;
  const size = height * width;
  const rgba = new Uint8ClampedArray(4 * size);
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = bytes[(channels === 1 ? 0 : c * size) + i] as number;
    rgba[4 * i + 3] = channels === 4 ? (bytes[3 * size + i] as number) : 255;
  }
  return encode({ width, height, rgba }, format, quality);
}

/** The bytes of a PNG file: `encodeImage` without options. */
export const encodePng = (image: Tensor): Promise<Uint8Array<ArrayBuffer>> => encodeImage(image);

/**
 * Writes an image file, whole or not at all; the format is the name's ending: .png, .jpg, .jpeg or .webp.
 *
 * Errors: as `encodeImage`; ValueError for another ending; DataError when it cannot be written.
 *
 * @example
 * await writeImage(torch.rand([28, 28]), "digit.png");
 */
export async function writeImage(
  image: Tensor,
  path: string,
  options: Omit<EncodeOptions, "format"> = {},
): Promise<void> {
  checkTensor("writeImage", "image", image);
  checkPath("writeImage", path);
  checkOptions("writeImage", options);
  const ending = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
  const format = ending === "jpg" ? "jpeg" : ending;
  if (format !== "png" && format !== "jpeg" && format !== "webp") {
    throw new ValueError(`writeImage: ${path} ends in .${ending}; images are written as .png, .jpg, .jpeg or .webp`);
  }
  writeFileAtomic(path, await encodeImage(image, { ...options, format }));
}

/** uint8 as it is; floats from 0 to 1 as 0 to 255, rounded. */
export function toBytes(image: Tensor): Tensor {
  if (image.dtype === "uint8") return image;
  if (image.dtype === "bool") return image.to("uint8").mul(255);
  if (!image.isFloatingPoint()) throw new DTypeError(`an image is uint8 or floating, not ${image.dtype}`);
  return image.float().mul(255).add(0.5).clamp(0, 255).to("uint8");
}

/** From rows of RGBA to one plane a channel. */
function planes(rgba: Uint8ClampedArray, mode: ImageMode): Uint8Array {
  const size = rgba.length / 4;
  const out = new Uint8Array(channelsOf[mode] * size);
  if (mode === "gray") {
    for (let i = 0; i < size; i++) {
      const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]] as [number, number, number];
      // Pillow's fixed-point form of the weights.
      out[i] = (19595 * r + 38470 * g + 7471 * b + 0x8000) >>> 16;
    }
    return out;
  }
  for (let c = 0; c < channelsOf[mode]; c++)
    for (let i = 0; i < size; i++) out[c * size + i] = rgba[4 * i + c] as number;
  return out;
}

/** The sizes an image's header claims. Throws FormatError for what is no image, or has no end. */
async function checkHeader(bytes: Uint8Array, name: string): Promise<{ width: number; height: number }> {
  const formats = await Promise.all([
    import("image-size/types/png").then(({ PNG }) => ({ format: PNG, end: [0x49, 0x45, 0x4e, 0x44] })), // "IEND"
    import("image-size/types/jpg").then(({ JPG }) => ({ format: JPG, end: [0xff, 0xd9] })), // end of image
    import("image-size/types/gif").then(({ GIF }) => ({ format: GIF, end: [0x3b] })), // trailer
    import("image-size/types/webp").then(({ WEBP }) => ({ format: WEBP, end: undefined })),
    import("image-size/types/bmp").then(({ BMP }) => ({ format: BMP, end: undefined })),
  ]);
  try {
    const found = formats.find(({ format }) => format.validate(bytes));
    if (found === undefined) throw new FormatError(`${name}: is no PNG, JPEG, WebP, GIF or BMP file`);
    const { end } = found;
    // Decoders paint what is there of a file that was cut off. A data set should not learn from half an image.
    if (end !== undefined && lastIndexOf(bytes, end) < 0) throw new FormatError(`${name}: the file ends too early`);
    return found.format.calculate(bytes);
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(`${name}: damaged: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** Where `sequence` begins for the last time, in the last kilobyte: some programs append a few bytes of their own. */
function lastIndexOf(bytes: Uint8Array, sequence: readonly number[]): number {
  const least = Math.max(0, bytes.length - 1024);
  for (let at = bytes.length - sequence.length; at >= least; at--) {
    if (sequence.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}
