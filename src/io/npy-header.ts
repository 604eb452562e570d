/**
 * The header of numpy's .npy format: magic, version, and the dict of a Python literal that says dtype, order and shape. It is
 * read as if its writer were hostile. Elements are the business of `npy.ts`.
 *
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
import { DTypeError, FormatError } from "../errors.js";
import { itemBytes } from "../ops/dtype.js";
import type { DType, Shape } from "../tensor/index.js";

export interface NpyHeader {
  readonly dtype: DType;
  readonly littleEndian: boolean;
  readonly fortranOrder: boolean;
  readonly shape: Shape;
  /** Bytes of elements. */
  readonly dataBytes: number;
}

/** The longest header that is read. numpy's own are below 200 bytes; structured dtypes, the long ones, are refused anyway. */
const maxHeaderBytes = 65_536;

/** numpy's limit on dimensions. */
const maxDimensions = 64;

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/** numpy's kind and size of our dtypes; numpy has no bfloat16. */
const kinds = {
  float64: "f8",
  float32: "f4",
  float16: "f2",
  int64: "i8",
  int32: "i4",
  int16: "i2",
  int8: "i1",
  uint8: "u1",
  bool: "b1",
} as const satisfies Partial<Record<DType, string>>;

const dtypeOf = new Map<string, DType>(Object.entries(kinds).map(([dtype, kind]) => [kind, dtype as DType]));

/** Whether bytes begin as an .npy file does. */
export const isNpy = (bytes: Uint8Array): boolean => magic.every((byte, i) => bytes[i] === byte);

/** The bytes before the elements: version 1, padded so that the elements begin at a multiple of 64. */
export function writeNpyHeader(dtype: DType, shape: Shape): Uint8Array<ArrayBuffer> {
  const kind = (kinds as Partial<Record<DType, string>>)[dtype];
  if (kind === undefined) throw new DTypeError(`npy: numpy has no ${dtype}; convert it first: tensor.float()`);
  const order = itemBytes[dtype] === 1 ? "|" : "<";
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dict = `{'descr': '${order}${kind}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const length = Math.ceil((10 + dict.length + 1) / 64) * 64 - 10;
  const bytes = new Uint8Array(10 + length);
  bytes.set([...magic, 1, 0]);
  new DataView(bytes.buffer).setUint16(8, length, true);
  bytes.set(new TextEncoder().encode(`${dict.padEnd(length - 1)}\n`), 10);
  return bytes;
}

/** How many bytes to read to have the whole header, from its first 12. Throws FormatError if these are not an .npy file's. */
export function npyHeaderBytes(start: Uint8Array, name: string): number {
  const fail = (what: string): never => {
    throw new FormatError(`${name}: ${what}`);
  };
  if (start.length < 10 || !isNpy(start)) fail("not an .npy file: it does not begin with \\x93NUMPY");
  const [major, minor] = [start[6] as number, start[7] as number];
  if (minor !== 0 || major < 1 || major > 3) fail(`version ${major}.${minor} of the .npy format; 1.0 to 3.0 are known`);
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  if (major > 1 && start.length < 12) fail("ends inside its header");
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > maxHeaderBytes) fail(`a header of ${length} bytes; at most ${maxHeaderBytes} are read`);
  return (major === 1 ? 10 : 12) + length;
}

/** Reads a whole header. */
export function readNpyHeader(bytes: Uint8Array, name: string): NpyHeader {
  const fail = (what: string): never => {
    throw new FormatError(`${name}: ${what}`);
  };
  const begin = bytes[6] === 1 ? 10 : 12;
  const text = new TextDecoder(bytes[6] === 3 ? "utf-8" : "latin1").decode(bytes.subarray(begin)).trim();
  if (!text.startsWith("{") || !text.endsWith("}")) return fail("the header is not a dict");
  const fields = new Map<string, string>();
  const field = /\s*'(\w{1,20})'\s*:\s*('[^']*'|True|False|\([\d\s,L]*\)|\[.*\])\s*(,|(?=\}$))\s*/y;
  for (let at = 1; at < text.length - 1; at = field.lastIndex) {
    field.lastIndex = at;
    const match = field.exec(text);
    if (match === null) return fail(`the header cannot be read at ${JSON.stringify(text.slice(at, at + 40))}`);
    const [, key, value] = match as unknown as [string, string, string];
    if (fields.has(key)) return fail(`the header says ${key} twice`);
    fields.set(key, value);
  }
  const descr = fields.get("descr");
  const fortran = fields.get("fortran_order");
  const sizes = fields.get("shape");
  if (descr === undefined || fortran === undefined || sizes === undefined || fields.size !== 3) {
    return fail(
      `the header has ${[...fields.keys()].join(", ") || "nothing"}; expected descr, fortran_order and shape`,
    );
  }
  const kind = /^'([<>|=])(\w{1,8})'$/.exec(descr);
  const dtype = kind === null ? undefined : dtypeOf.get(kind[2] as string);
  if (kind === null || dtype === undefined) {
    return fail(`numpy's dtype ${descr.slice(0, 40)} has no counterpart; known are ${[...dtypeOf.keys()].join(", ")}`);
  }
  if (fortran !== "True" && fortran !== "False") return fail("fortran_order is neither True nor False");
  const shape = [...sizes.matchAll(/\d+/g)].map(([digits]) => Number(digits));
  if (!/^\(\s*(\d+L?\s*(,\s*|(?=\))))*\)$/.test(sizes))
    return fail(`shape ${sizes.slice(0, 40)} is not a tuple of sizes`);
  if (shape.length > maxDimensions) return fail(`${shape.length} dimensions; numpy has at most ${maxDimensions}`);
  let dataBytes: number = itemBytes[dtype];
  for (const size of shape) {
    dataBytes *= size;
    if (!Number.isSafeInteger(dataBytes)) return fail(`shape ${sizes.slice(0, 60)} is too large`);
  }
  // The host's order, "=", is what numpy never writes; "|" stands where order means nothing.
  return { dtype, littleEndian: kind[1] !== ">", fortranOrder: fortran === "True", shape, dataBytes };
}
