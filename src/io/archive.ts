/**
 * Zip archives, which .npz and .pt files are: entries by name, read into whoever takes their bytes and written chunk by chunk.
 * The format itself is zip.js's, loaded when the first archive is. What is added is bounds: nothing is unpacked before
 * its size is known to be possible, and no archive unpacks to more than its reader allows.
 */
import type * as zip from "@zip.js/zip.js";
import { CressetError, FormatError } from "../errors.js";
import { type ByteSource, chunkBytes } from "./tensor-bytes.js";

export interface ArchiveEntry {
  /** Unpacked, in bytes. */
  readonly size: number;
  /** Unpacks the entry into `take`, piece by piece; the checksum is checked at the end. */
  read(take: (bytes: Uint8Array) => void): Promise<void>;
}

/** An entry to be written. */
export interface NewEntry {
  readonly name: string;
  readonly size: number;
  chunks(): Iterable<Uint8Array>;
}

/** Deflate packs a byte of zeros into a bit and a bit: nothing unpacks to more than this many times its size. */
const deflateLimit = 1032;

/** What an archive may unpack to unless its reader says otherwise: a hundred times its size, or a gigabyte. */
const defaultLimit = (packedBytes: number): number => Math.max(2 ** 30, 100 * packedBytes);

/** Bytes of a local header before the name, and of an extra field before its content. */
const localHeaderBytes = 30;
const extraHeaderBytes = 4;
/** The extra field that PyTorch pads with. */
const paddingField = 0x4246;

let loaded: Promise<typeof zip> | undefined;
/** zip.js, without workers: the bytes go into tensors of this thread. */
function library(): Promise<typeof zip> {
  loaded ??= import("@zip.js/zip.js/lib/zip-core-native.js").then((module) => {
    module.configure({ useWebWorkers: false, chunkSize: chunkBytes });
    return module as unknown as typeof zip;
  });
  return loaded;
}

/**
 * The entries of an archive by name. Throws FormatError for what is no archive, is damaged, encrypted or has two entries of
 * one name, and for one that would unpack to more than `maxBytes`. Later reads throw it for what lies about its size, its
 * checksum or its place.
 */
export async function openArchive(
  source: ByteSource,
  name: string,
  maxBytes: number = defaultLimit(source.size),
): Promise<Map<string, ArchiveEntry>> {
  const { Reader, ZipReader } = await library();
  class SourceReader extends Reader<ByteSource> {
    override async init(): Promise<void> {
      this.size = source.size;
    }
    override async readUint8Array(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
      return source.read(offset, Math.min(length, source.size - offset)) as Uint8Array<ArrayBuffer>;
    }
  }
  const reader = new ZipReader(new SourceReader(source), {
    checkCrc32: true,
    checkOverlappingEntry: true,
    filenameValidation: "tolerant", // names are never paths here
  });
  const listed = await guarded(name, () => reader.getEntries());
  const entries = new Map<string, ArchiveEntry>();
  let total = 0;
  for (const entry of listed) {
    if (entry.directory) continue;
    const { filename, uncompressedSize: size, compressedSize, compressionMethod: method } = entry;
    const fail = (what: string): never => {
      throw new FormatError(`${name}: entry ${JSON.stringify(filename.slice(0, 100))} ${what}`);
    };
    if (entries.has(filename)) fail("is there twice");
    if (method !== 0 && method !== 8) fail(`is packed by method ${method}; stored and deflated ones are read`);
    if (compressedSize > source.size) fail(`takes ${compressedSize} bytes in a file of ${source.size}`);
    if (method === 0 ? size !== compressedSize : size > compressedSize * deflateLimit) {
      fail(`cannot unpack from ${compressedSize} to ${size} bytes`);
    }
    total += size;
    if (total > maxBytes) {
      throw new FormatError(`${name}: unpacks to more than ${maxBytes} bytes; raise maxBytes if you trust it`);
    }
    const read = (take: (bytes: Uint8Array) => void) =>
      guarded(`${name}: entry ${JSON.stringify(filename)}`, () =>
        entry.getData(new WritableStream<Uint8Array>({ write: take })),
      );
    entries.set(filename, { size, read: async (take) => void (await read(take)) });
  }
  return entries;
}

/** A whole entry, for those that are read as one. */
export async function readEntry(entry: ArchiveEntry): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(entry.size);
  let done = 0;
  await entry.read((piece) => {
    bytes.set(piece, done);
    done += piece.length;
  });
  return bytes;
}

/**
 * Writes an archive into `write`, entry by entry. With `align` the bytes of each begin at a multiple of it, for who maps the
 * file into memory; such archives are stored.
 */
export async function writeArchive(
  entries: Iterable<NewEntry>,
  write: (bytes: Uint8Array) => void | Promise<void>,
  { compress = false, align = 0 }: { compress?: boolean; align?: number } = {},
): Promise<void> {
  const { ZipWriter } = await library();
  let place = 0;
  const sink = new WritableStream<Uint8Array>({
    async write(bytes) {
      await write(bytes);
      place += bytes.length;
    },
  });
  // Equal contents give equal files: no entry has a time of its own.
  const writer = new ZipWriter(sink, {
    level: compress ? 6 : 0,
    lastModDate: new Date(1980, 0, 1),
    extendedTimestamp: false,
  });
  for (const { name, size, chunks } of entries) {
    const iterator = chunks()[Symbol.iterator]();
    const readable = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          const next = iterator.next();
          if (next.done === true) controller.close();
          else controller.enqueue(next.value);
        },
      },
      { highWaterMark: 0 },
    );
    const before = place + localHeaderBytes + new TextEncoder().encode(name).length + extraHeaderBytes;
    const padding = align === 0 ? null : new Uint8Array((align - (before % align)) % align);
    await writer.add(name, { readable, size } as unknown as zip.ReadableReader, {
      ...(padding === null ? {} : { localExtraField: new Map([[paddingField, padding]]) }),
    });
  }
  await writer.close();
}

/** Runs the library's work; what it throws becomes a FormatError that names the archive. */
async function guarded<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CressetError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(`${name}: damaged archive: ${reason}`, { cause: error });
  }
}
