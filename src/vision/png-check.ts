/**
 * Whether a PNG file's pixels are all there and undamaged. Decoders paint what they can of a broken file; a data set should
 * not learn from half an image. Decoding itself is the library's.
 *
 * Layout: a signature of 8 bytes, then chunks: length (4 bytes, big-endian), type, data, checksum. The data of all IDAT chunks
 * together is one zlib stream, which ends in a checksum of its own.
 * Source: https://www.w3.org/TR/png-3/
 */
import { FormatError } from "../errors.js";

/** Bytes of a pixel at most: four channels of 16 bits. A row has one more, and an interlaced image some more rows. */
const mostPixelBytes = 8;

/** Throws FormatError when the chunks are cut off, or the pixels do not unpack, or to more than the header's sizes allow. */
export async function checkPng(bytes: Uint8Array, width: number, height: number, name: string): Promise<void> {
  const limit = 2 * height * (width * mostPixelBytes + 1) + 64;
  let unpacked = 0;
  try {
    const stream = new Blob([...pixelChunks(bytes, name)]).stream().pipeThrough(new DecompressionStream("deflate"));
    for (const reader = stream.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      unpacked += value.length;
      if (unpacked > limit) {
        await reader.cancel();
        throw new FormatError(`${name}: unpacks to more than its ${width} × ${height} pixels`);
      }
    }
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(`${name}: damaged: its pixels do not unpack`, { cause: error });
  }
  // The least an image can have: a bit a pixel.
  if (unpacked < height * (1 + Math.ceil(width / 8))) throw new FormatError(`${name}: damaged: pixels are missing`);
}

function* pixelChunks(bytes: Uint8Array, name: string): Iterable<Uint8Array<ArrayBuffer>> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) throw new FormatError(`${name}: the file ends too early`);
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) throw new FormatError(`${name}: the file ends too early`);
    if (type === "IEND") return;
    if (type === "IDAT") yield bytes.slice(at + 8, at + 8 + length);
    at += 12 + length;
  }
}
