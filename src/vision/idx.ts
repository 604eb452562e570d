/**
 * IDX, the format MNIST comes in: a type code, the sizes, then the numbers, big-endian. A header decides how much
 * memory is taken, so it is checked against the bytes that are there before any is. What the numbers mean, and which
 * shapes a data set expects, is left to the data sets.
 *
 * Layout: 0, 0, type code, number of dimensions d; d sizes of 4 bytes; the data.
 * Source: http://yann.lecun.com/exdb/mnist/ ("the IDX file format")
 */
import { gunzip, readFile } from "#files";
import { checkBytes, checkOptions, checkPath } from "../arguments.js";
import { FormatError } from "../errors.js";
import { hostIsLittleEndian, swapBytes } from "../io/byte-order.js";

/** The arrays IDX can hold. */
export type IdxArray = Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;

export interface Idx {
  readonly shape: readonly number[];
  /** All numbers, last dimension fastest. For uint8 it is a view of the bytes given, not a copy. */
  readonly data: IdxArray;
}

/** 1 GiB: more than any IDX data set in use, and still a bound. */
const defaultMaxBytes = 2 ** 30;

/** By type code. */
const types: Readonly<Record<number, { itemBytes: number; over: (bytes: Uint8Array<ArrayBuffer>) => IdxArray }>> = {
  8: { itemBytes: 1, over: (bytes) => bytes },
  9: { itemBytes: 1, over: (bytes) => new Int8Array(bytes.buffer) },
  11: { itemBytes: 2, over: (bytes) => new Int16Array(bytes.buffer) },
  12: { itemBytes: 4, over: (bytes) => new Int32Array(bytes.buffer) },
  13: { itemBytes: 4, over: (bytes) => new Float32Array(bytes.buffer) },
  14: { itemBytes: 8, over: (bytes) => new Float64Array(bytes.buffer) },
};

/**
 * Reads the bytes of an IDX file. `name` is what errors call it.
 *
 * Errors: FormatError when the magic number, the type code or the size is not right; the data must end exactly where
 * the sizes say.
 *
 * @example
 * const { shape, data } = parseIdx(new Uint8Array(await (await fetch(url)).arrayBuffer()));
 */
export function parseIdx(bytes: Uint8Array<ArrayBuffer>, name = "IDX data"): Idx {
  checkBytes("parseIdx", bytes);
  const fail = (what: string): never => {
    throw new FormatError(`${name}: ${what}`);
  };
  if (bytes.length < 4) fail(`${bytes.length} bytes; an IDX file has at least 4`);
  const [zero, zeroToo, code, dimensions] = bytes as unknown as [number, number, number, number];
  if (zero !== 0 || zeroToo !== 0) fail(`begins with bytes ${zero}, ${zeroToo}; an IDX file begins with 0, 0`);
  const type = types[code];
  if (type === undefined) return fail(`type code ${code}; IDX knows 8, 9, 11, 12, 13 and 14`);
  if (dimensions === 0) fail("has no dimension");
  const start = 4 + 4 * dimensions;
  if (bytes.length < start) fail(`${bytes.length} bytes; ${dimensions} sizes need ${start}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, start);
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  let size = type.itemBytes;
  for (const extent of shape) {
    size *= extent;
    if (!Number.isSafeInteger(size)) fail(`sizes ${shape.join(" × ")} are too large`);
  }
  if (bytes.length - start !== size) {
    fail(`sizes ${shape.join(" × ")} need ${size} bytes of data; there are ${bytes.length - start}`);
  }
  const swap = hostIsLittleEndian && type.itemBytes > 1;
  const data = code === 8 ? bytes.subarray(start) : bytes.slice(start);
  if (swap) swapBytes(data, type.itemBytes);
  return { shape, data: type.over(data) };
}

/**
 * Reads an IDX file, plain or packed with gzip (told by its first bytes, not its name).
 *
 * Errors: DataError when it is absent; FormatError when it is damaged, or larger than `maxBytes` packed or unpacked.
 *
 * @example
 * const { shape } = readIdx("data/t10k-images-idx3-ubyte.gz"); // [10000, 28, 28]
 */
export function readIdx(path: string, options: { maxBytes?: number } = {}): Idx {
  checkPath("readIdx", path);
  checkOptions("readIdx", options);
  const maxBytes = options.maxBytes ?? defaultMaxBytes;
  const bytes = readFile(path, maxBytes);
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return parseIdx(packed ? gunzip(bytes, maxBytes, path) : bytes, path);
}
