/**
 * The header of a safetensors file, read as if its writer were hostile: it decides how much is read and where
 * from, so nothing in it is believed before it is checked. Turning ranges into tensors is left to `safetensors.ts`.
 *
 * Layout: 8 bytes header length N (little-endian), N bytes of JSON, then the data; offsets count from the data's start.
 * Source: https://huggingface.co/docs/safetensors
 */
import { FormatError } from "../errors.js";
import { itemBytes } from "../ops/dtype.js";
import type { DType } from "../tensor/index.js";

/** What a file says about one tensor; `begin` and `end` count bytes from the start of the data. */
export interface TensorEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the data. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  /** Where the data begins in the file. */
  readonly dataStart: number;
}

/** The format's own limit on the header, in bytes. */
export const maxHeaderBytes = 100_000_000;

export const metadataKey = "__metadata__";

/** The format's names for our dtypes. */
export const formatNames: Readonly<Record<DType, string>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};

const dtypeOf = new Map(Object.entries(formatNames).map(([dtype, name]) => [name, dtype as DType]));

/**
 * Reads and checks the header. `read` gives a range of the file, `size` is the file's, `name` what errors call it.
 * Throws FormatError on anything the format forbids: overlaps, holes, overruns, sizes that disagree, repeated names.
 */
export function readHeader(
  size: number,
  read: (offset: number, length: number) => Uint8Array,
  name: string,
): SafetensorsHeader {
  const fail = (what: string): never => {
    throw new FormatError(`${name}: ${what}`);
  };
  if (size < 8) fail(`${size} bytes; a safetensors file has at least 8`);
  const prefix = read(0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (length > maxHeaderBytes) fail(`a header of ${length} bytes; at most ${maxHeaderBytes} are allowed`);
  if (length > size - 8) fail(`a header of ${length} bytes in a file of ${size}`);

  const json = parseJson(read(8, length), fail);
  const metadata: Record<string, string> = Object.create(null);
  const entries: [string, TensorEntry][] = [];
  const dataBytes = size - 8 - length;
  for (const [key, value] of Object.entries(json)) {
    if (key === metadataKey) {
      if (!isRecord(value)) return fail(`${metadataKey} is not an object`);
      for (const [field, text] of Object.entries(value)) {
        if (typeof text !== "string") return fail(`metadata ${JSON.stringify(field)} is not a string`);
        metadata[field] = text;
      }
    } else {
      entries.push([key, checkEntry(value, dataBytes, (what) => fail(`tensor ${JSON.stringify(key)}: ${what}`))]);
    }
  }

  // Sorted by place, each tensor must begin where the last one ended: then there are no overlaps and no holes.
  entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let place = 0;
  for (const [key, { begin, end }] of entries) {
    if (begin !== place) fail(`tensor ${JSON.stringify(key)} begins at ${begin}; the one before ends at ${place}`);
    place = end;
  }
  if (place !== dataBytes) fail(`the tensors cover ${place} bytes of data; the file holds ${dataBytes}`);
  return { metadata, entries: new Map(entries), dataStart: 8 + length };
}

function checkEntry(value: unknown, dataBytes: number, fail: (what: string) => never): TensorEntry {
  if (!isRecord(value)) return fail("its entry is not an object");
  const { dtype: formatName, shape, data_offsets: offsets } = value;
  if (typeof formatName !== "string") return fail("no dtype");
  const dtype = dtypeOf.get(formatName);
  if (dtype === undefined)
    return fail(`dtype ${JSON.stringify(formatName.slice(0, 20))} is not one of ${[...dtypeOf.keys()].join(", ")}`);
  if (!isSizes(shape)) return fail("its shape is not a list of whole numbers");
  if (!isSizes(offsets) || offsets.length !== 2) return fail("data_offsets are not two whole numbers");
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > dataBytes) return fail(`data_offsets [${begin}, ${end}] in ${dataBytes} bytes of data`);
  let bytes = itemBytes[dtype];
  for (const extent of shape) {
    bytes *= extent;
    if (!Number.isSafeInteger(bytes)) return fail(`shape (${shape.join(", ")}) is too large`);
  }
  if (bytes !== end - begin) {
    return fail(`shape (${shape.join(", ")}) of ${formatName} takes ${bytes} bytes; data_offsets give ${end - begin}`);
  }
  return { dtype, shape, begin, end };
}

function parseJson(bytes: Uint8Array, fail: (what: string) => never): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail("the header is not UTF-8");
  }
  if (!text.startsWith("{")) return fail("the header does not begin with {");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return fail(`the header is not JSON: ${error instanceof Error ? error.message.slice(0, 120) : ""}`);
  }
  if (!isRecord(value)) return fail("the header is not a JSON object");
  // JSON.parse keeps the last of two equal names without a word; another reader may keep the first.
  if (countTopLevelNames(text) !== Object.keys(value).length) return fail("the header names a tensor twice");
  return value;
}

/** The number of members of a JSON object, repeated ones counted each time. `text` is known to be valid JSON. */
function countTopLevelNames(text: string): number {
  let depth = 0;
  let names = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') {
      for (i++; text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") depth--;
    else if (character === ":" && depth === 1) names++;
  }
  return names;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
