/**
 * Weights on disk, in the format the field has settled on: safetensors. Files written here open in PyTorch, JAX and
 * candle, and theirs open here. The pure halves (`serialize`, `deserialize`) work on bytes and run in a browser;
 * `saveFile` and `loadFile` add a path. Which names a model gives its tensors is left to `nn`.
 */
import { openFile, writeFileAtomic } from "#files";
import { checkBytes, checkNamedTensors, checkObject, checkPath, refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { itemBytes } from "../ops/dtype.js";
import type { Tensor } from "../tensor/index.js";
import { formatNames, metadataKey, readHeader } from "./safetensors-header.js";
import { type ByteSource, bytesOf, rangeOf, sourceOf, TensorSink } from "./tensor-bytes.js";

/** Tensors by name, as `stateDict()` gives them. Objects read from a file have no prototype: any name is safe. */
export type NamedTensors = Record<string, Tensor>;

/**
 * The bytes of a safetensors file holding `tensors`. Views are written as they look, contiguous.
 *
 * @param metadata free text by name, kept in the file's header
 * @example
 * const bytes = serialize({ weight: torch.ones([2, 3]) }, { format: "pt" });
 */
export function serialize(
  tensors: Readonly<NamedTensors>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  checkNamedTensors("serialize", "tensors", tensors);
  checkMetadata("serialize", metadata);
  const { header, names, dataBytes } = layOut(tensors, metadata);
  const bytes = new Uint8Array(header.length + dataBytes);
  bytes.set(header);
  let place = header.length;
  for (const name of names) {
    for (const chunk of bytesOf(tensors[name] as Tensor)) {
      bytes.set(chunk, place);
      place += chunk.length;
    }
  }
  return bytes;
}

/**
 * The tensors in the bytes of a safetensors file. Throws FormatError on anything the format forbids; `name` is what
 * the error calls the data.
 *
 * @example
 * const { weight } = deserialize(new Uint8Array(await (await fetch(url)).arrayBuffer()));
 */
export function deserialize(bytes: Uint8Array, name = "safetensors data"): NamedTensors {
  checkBytes("deserialize", bytes);
  return readSafetensors(sourceOf(bytes, name), name);
}

/**
 * Writes `tensors` to `path`, whole or not at all (a temporary file, flushed, then renamed). Folders are made.
 *
 * @example
 * saveFile(model.stateDict(), "runs/weights.safetensors", { epochs: "3" });
 */
export function saveFile(
  tensors: Readonly<NamedTensors>,
  path: string,
  metadata?: Readonly<Record<string, string>>,
): void {
  checkNamedTensors("saveFile", "tensors", tensors);
  checkPath("saveFile", path);
  checkMetadata("saveFile", metadata);
  const { header, names } = layOut(tensors, metadata);
  writeFileAtomic(
    path,
    (function* () {
      yield header;
      for (const name of names) yield* bytesOf(tensors[name] as Tensor);
    })(),
  );
}

/**
 * The tensors in a safetensors file. The header is checked against the file's size before any data is read, and
 * tensors are read one by one, straight into their memory, so a lying file costs none. Throws DataError when the file is absent,
 * FormatError when it is not what it says.
 *
 * @example
 * model.loadStateDict(loadFile("runs/weights.safetensors"));
 */
export function loadFile(path: string): NamedTensors {
  checkPath("loadFile", path);
  const file = openFile(path);
  try {
    return readSafetensors(file, path);
  } finally {
    file.close();
  }
}

/** The metadata of a safetensors file; its tensors are not read. Errors as for `loadFile`. */
export function loadMetadata(path: string): Readonly<Record<string, string>> {
  checkPath("loadMetadata", path);
  const file = openFile(path);
  try {
    return readHeader(file.size, file.read, path).metadata;
  } finally {
    file.close();
  }
}

function checkMetadata(what: string, metadata: unknown): void {
  if (metadata === undefined) return;
  checkObject(what, "metadata", metadata, "an object of texts");
  for (const [key, value] of Object.entries(metadata as object))
    if (typeof value !== "string") refuseArgument(what, `metadata[${JSON.stringify(key)}]`, value, "a string");
}

/** Orders the tensors (widest dtype first, so that each is aligned; then by name) and writes the header. */
function layOut(tensors: Readonly<NamedTensors>, metadata: Readonly<Record<string, string>> | undefined) {
  const names = Object.keys(tensors).sort((a, b) => {
    const wider = itemBytes[(tensors[b] as Tensor).dtype] - itemBytes[(tensors[a] as Tensor).dtype];
    return wider || (a < b ? -1 : 1);
  });
  // Entries, not an object: an object would take "__proto__" for its prototype and put "7" before "a".
  const members: string[] = [];
  if (metadata !== undefined) members.push(`${JSON.stringify(metadataKey)}:${JSON.stringify(metadata)}`);
  let place = 0;
  for (const name of names) {
    if (name === metadataKey) throw new ValueError(`safetensors: ${metadataKey} cannot name a tensor`);
    const { dtype, shape } = tensors[name] as Tensor;
    const end = place + shape.reduce((product, extent) => product * extent, itemBytes[dtype]);
    members.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype: formatNames[dtype], shape, data_offsets: [place, end] })}`,
    );
    place = end;
  }
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return { header, names, dataBytes: place };
}

/** Reads a whole file. */
export function readSafetensors(source: ByteSource, name: string): NamedTensors {
  const header = readHeader(source.size, source.read, name);
  const tensors: NamedTensors = Object.create(null);
  for (const [key, { dtype, shape, begin, end }] of header.entries) {
    const sink = new TensorSink(`${name}: tensor ${JSON.stringify(key)}`, shape, dtype);
    for (const chunk of rangeOf(source, header.dataStart + begin, end - begin)) sink.write(chunk);
    tensors[key] = sink.finish();
  }
  return tensors;
}
