/**
 * What stands behind `torch.save` and `torch.load`: the archive around a pickle and its storages, written chunk by chunk, and
 * the choice of reader by a file's first bytes. The pickle itself is the matter of `pickle-writer.ts` and `pytorch-reader.ts`.
 */
import { createFile, openFile } from "#files";
import { FormatError } from "../errors.js";
import { itemBytes } from "../ops/dtype.js";
import { type NewEntry, openArchive, writeArchive } from "./archive.js";
import type { LoadOptions } from "./checkpoint.js";
import { readNpy } from "./npy.js";
import { isNpy } from "./npy-header.js";
import { readNpz } from "./npz.js";
import { pickle } from "./pickle-writer.js";
import { readPyTorch } from "./pytorch-reader.js";
import { readSafetensors } from "./safetensors.js";
import { type ByteSource, bytesOf, sourceOf } from "./tensor-bytes.js";

/** PyTorch's own alignment of storages, so that it can map them into memory. */
const alignment = 64;

export async function savePyTorch(value: unknown, target: string | WritableStream<Uint8Array>): Promise<void> {
  if (typeof target !== "string") {
    const writer = target.getWriter();
    try {
      // A stream may keep what it is given, and the archive's writer uses its memory again.
      await writeArchive(entriesOf(value), (bytes) => writer.write(bytes.slice()), { align: alignment });
      await writer.close();
    } catch (error) {
      await writer.abort(error);
      throw error;
    }
    return;
  }
  const entries = entriesOf(value);
  const file = createFile(target);
  try {
    await writeArchive(entries, file.write, { align: alignment });
    file.commit();
  } catch (error) {
    file.abort();
    throw error;
  }
}

function entriesOf(value: unknown): NewEntry[] {
  const { bytes, storages } = pickle(value);
  const whole = (name: string, bytes: Uint8Array): NewEntry => ({
    name: `archive/${name}`,
    size: bytes.length,
    chunks: () => [bytes],
  });
  const text = (name: string, content: string): NewEntry => whole(name, new TextEncoder().encode(content));
  return [
    whole("data.pkl", bytes),
    text("byteorder", "little"),
    ...storages.map((storage, i) => ({
      name: `archive/data/${i}`,
      size: storage.numel() * itemBytes[storage.dtype],
      chunks: () => bytesOf(storage),
    })),
    text("version", "3\n"),
  ];
}

export async function loadAny(
  source: string | Uint8Array | ArrayBuffer,
  { mapLocation, maxBytes }: LoadOptions,
): Promise<unknown> {
  if (typeof source !== "string") {
    const bytes = source instanceof Uint8Array ? source : new Uint8Array(source);
    const name = "load: the bytes given";
    return read(sourceOf(bytes, name), name, mapLocation, maxBytes);
  }
  const file = openFile(source);
  try {
    return await read(file, source, mapLocation, maxBytes);
  } finally {
    file.close();
  }
}

async function read(
  source: ByteSource,
  name: string,
  mapLocation: LoadOptions["mapLocation"],
  maxBytes: number | undefined,
): Promise<unknown> {
  const start = source.read(0, Math.min(16, source.size));
  if (start[0] === 0x50 && start[1] === 0x4b) {
    const entries = await openArchive(source, name, maxBytes);
    const arrays = entries.size > 0 && [...entries.keys()].every((entry) => entry.endsWith(".npy"));
    return arrays ? readNpz(entries, name) : readPyTorch(entries, name, mapLocation);
  }
  if (isNpy(start)) return readNpy(source, name);
  if (start[8] === 0x7b) return readSafetensors(source, name);
  if (start[0] === 0x80) {
    throw new FormatError(
      `${name}: a bare pickle, such as PyTorch wrote before 1.6; load it there and save it anew with torch.save`,
    );
  }
  throw new FormatError(`${name}: none of the formats that are read: .pt, .safetensors, .npz, .npy`);
}
