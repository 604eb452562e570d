/**
 * numpy's .npz: arrays by name, each an .npy file in a zip archive. Asynchronous, because unpacking is.
 */
import { createFile, openFile } from "#files";
import { checkBytes, checkNamedTensors, checkOptions, checkPath } from "../arguments.js";
import { FormatError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import { type ArchiveEntry, openArchive, writeArchive } from "./archive.js";
import { arrange, checkNpySize, npyChunks, npySink, npySize } from "./npy.js";
import { type NpyHeader, npyHeaderBytes, readNpyHeader } from "./npy-header.js";
import type { NamedTensors } from "./safetensors.js";
import { sourceOf, type TensorSink } from "./tensor-bytes.js";

export interface NpzOptions {
  /** Packs the arrays, as `numpy.savez_compressed` does. */
  compress?: boolean;
}

export interface LoadNpzOptions {
  /** What all arrays together may take: a hundred times the file, but at least a gigabyte, unless given. */
  maxBytes?: number;
}

const ending = ".npy";

/**
 * Writes tensors by name as `numpy.savez` does, whole or not at all, one after another: no second copy is held.
 * Errors: DTypeError for bfloat16, which numpy lacks; DataError when the file cannot be written.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { loadNpz, saveNpz } from "cresset/io";
 *
 * await saveNpz({ x: torch.linspace(0, 1, 100), y: torch.zeros([100]) }, "data.npz", { compress: true });
 * const { x } = await loadNpz("data.npz");
 * ```
 *
 * Source: {@link https://numpy.org/doc/stable/reference/generated/numpy.savez.html}
 */
export async function saveNpz(tensors: Readonly<NamedTensors>, path: string, options: NpzOptions = {}): Promise<void> {
  checkNamedTensors("saveNpz", "tensors", tensors);
  checkPath("saveNpz", path);
  checkOptions("saveNpz", options);
  const { compress = false } = options;
  const entries = entriesOf(tensors);
  const file = createFile(path);
  try {
    await writeArchive(entries, file.write, { compress });
    file.commit();
  } catch (error) {
    file.abort();
    throw error;
  }
}

/**
 * The tensors of an .npz file by name. Errors: DataError when the file is absent; FormatError when it is damaged, unpacks to
 * more than `maxBytes`, or holds something else than arrays of dtypes that are here.
 */
export async function loadNpz(path: string, options: LoadNpzOptions = {}): Promise<NamedTensors> {
  checkPath("loadNpz", path);
  checkOptions("loadNpz", options);
  const file = openFile(path);
  try {
    return await readNpz(await openArchive(file, path, options.maxBytes), path);
  } finally {
    file.close();
  }
}

/** The bytes of an .npz file holding `tensors`. */
export async function serializeNpz(
  tensors: Readonly<NamedTensors>,
  options: NpzOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  checkNamedTensors("serializeNpz", "tensors", tensors);
  checkOptions("serializeNpz", options);
  const { compress = false } = options;
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  await writeArchive(entriesOf(tensors), (bytes) => void pieces.push(bytes.slice()), { compress });
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** The tensors in the bytes of an .npz file; errors as for `loadNpz`. `name` is what they call the data. */
export async function deserializeNpz(
  bytes: Uint8Array,
  options: LoadNpzOptions = {},
  name = ".npz data",
): Promise<NamedTensors> {
  checkBytes("deserializeNpz", bytes);
  checkOptions("deserializeNpz", options);
  return readNpz(await openArchive(sourceOf(bytes, name), name, options.maxBytes), name);
}

/** Reads the arrays of an archive. */
export async function readNpz(entries: ReadonlyMap<string, ArchiveEntry>, name: string): Promise<NamedTensors> {
  const tensors: NamedTensors = Object.create(null);
  for (const [entryName, entry] of entries) {
    const where = `${name}: ${JSON.stringify(entryName)}`;
    if (!entryName.endsWith(ending)) throw new FormatError(`${where} is not an array (.npy)`);
    const key = entryName.slice(0, -ending.length);
    tensors[key] = await readArray(entry, where);
  }
  return tensors;
}

/** The header comes in the first pieces; what follows goes straight into the tensor's memory. */
async function readArray(entry: ArchiveEntry, where: string): Promise<Tensor> {
  let start: Uint8Array = new Uint8Array();
  let header: NpyHeader | null = null;
  let sink: TensorSink | null = null;
  await entry.read((piece) => {
    if (sink !== null) return sink.write(piece);
    const held = new Uint8Array(start.length + piece.length);
    held.set(start);
    held.set(piece, start.length);
    start = held;
    if (held.length < Math.min(12, entry.size)) return;
    const length = npyHeaderBytes(held, where);
    if (held.length < length) return;
    header = readNpyHeader(held.subarray(0, length), where);
    checkNpySize(header, entry.size - length, where);
    sink = npySink(header, where);
    sink.write(held.subarray(length));
  });
  if (header === null || sink === null) throw new FormatError(`${where}: ends inside its header`);
  return arrange((sink as TensorSink).finish(), header);
}

function entriesOf(tensors: Readonly<NamedTensors>) {
  return Object.entries(tensors).map(([name, tensor]) => {
    if (name === "") throw new ValueError("npz: an array's name is not empty");
    return { name: name + ending, size: npySize(tensor), chunks: () => npyChunks(tensor) };
  });
}
