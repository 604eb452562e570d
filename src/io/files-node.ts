/**
 * The few file functions that data sets and weights need, on Node. The package's `#files` import picks this
 * file in Node and `files-browser.ts` elsewhere, so that `cresset/io` and `cresset/vision` bundle for a page
 * without pulling `node:fs` in. Every read says how much it may take, every write is whole or absent.
 * What the bytes mean is left to the callers.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { DataError, FormatError } from "../errors.js";

export { basename, join };

/** An open file of a known size, read by ranges. `close` must be called. */
export interface FileReader {
  readonly size: number;
  /** `length` bytes from `offset`, in a buffer of their own. Throws FormatError when the file ends before. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** A file that grows by appending: a download on its way. */
export interface FileAppender {
  append(bytes: Uint8Array): void;
  close(): void;
}

/** Opens a regular file for reading. Throws DataError when it is absent or not a regular file. */
export function openFile(path: string): FileReader {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    throw new DataError(`cannot open ${path}: ${reason(error)}`, { cause: error });
  }
  const status = fstatSync(descriptor);
  if (!status.isFile()) {
    closeSync(descriptor);
    throw new DataError(`cannot open ${path}: not a regular file`);
  }
  return {
    size: status.size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const count = readSync(descriptor, bytes, done, Math.min(length - done, 1 << 30), offset + done);
        if (count === 0)
          throw new FormatError(`${path}: ends at byte ${offset + done}, ${offset + length} were expected`);
        done += count;
      }
      return bytes;
    },
    close: () => closeSync(descriptor),
  };
}

/** The whole file. Throws FormatError, before reading, when it is larger than `maxBytes`. */
export function readFile(path: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  const file = openFile(path);
  try {
    if (file.size > maxBytes)
      throw new FormatError(`${path}: ${file.size} bytes; at most ${maxBytes} are expected here`);
    return file.read(0, file.size);
  } finally {
    file.close();
  }
}

/** A file on its way: nothing is at its path until `commit`, and after `abort` nothing is left. */
export interface FileWriter {
  write(bytes: Uint8Array): void;
  commit(): void;
  abort(): void;
}

/** Runs what writes to `path`, so that the system's errors name it. */
const naming =
  (path: string) =>
  <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw isSystemError(error) ? new DataError(`cannot write ${path}: ${reason(error)}`, { cause: error }) : error;
    }
  };

/** Makes a folder and those above it, one by one: Node's own `recursive` never ends where a file system has no such folders (/proc). */
function makeFolder(path: string): void {
  const isFolder = (): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isFolder()) return;
  if (!existsSync(path)) makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!isFolder()) throw error;
  }
}

/**
 * Begins a file that is written whole or not at all: into a temporary file beside it, which `commit` flushes to the disk and
 * renames. Folders on the way are made. Readers see the old file or the new one, never a part.
 */
export function createFile(path: string): FileWriter {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  const named = naming(path);
  const descriptor = named(() => {
    makeFolder(folder);
    return openSync(temporary, "wx");
  });
  let open = true;
  const close = () => {
    if (open) closeSync(descriptor);
    open = false;
  };
  return {
    write: (bytes) => named(() => writeAll(descriptor, bytes)),
    commit: () =>
      named(() => {
        fsyncSync(descriptor);
        close();
        renameSync(temporary, path);
        syncFolder(folder);
      }),
    abort() {
      close();
      removeFile(temporary);
    },
  };
}

/** Writes a file whole or not at all, as `createFile` does. */
export function writeFileAtomic(path: string, parts: string | Uint8Array | Iterable<Uint8Array>): void {
  const file = createFile(path);
  try {
    for (const part of typeof parts === "string"
      ? [new TextEncoder().encode(parts)]
      : isBytes(parts)
        ? [parts]
        : parts) {
      file.write(part);
    }
    file.commit();
  } catch (error) {
    file.abort();
    throw error;
  }
}

/**
 * The same for a file that somebody else writes: `write` gets the temporary file's path, which is renamed when it is done.
 */
export async function writeFileAtomicFrom(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${randomBytes(6).toString("hex")}.${basename(path)}`);
  try {
    makeFolder(folder);
    await write(temporary);
    renameSync(temporary, path);
  } catch (error) {
    if (exists(temporary)) removeFile(temporary);
    throw isSystemError(error) ? new DataError(`cannot write ${path}: ${reason(error)}`, { cause: error }) : error;
  }
  syncFolder(folder);
}

/** Opens `path` for appending, making its folder; `fresh` drops what it held. */
export function openAppend(path: string, fresh: boolean): FileAppender {
  const named = naming(path);
  const descriptor = named(() => {
    makeFolder(dirname(path));
    return openSync(path, fresh ? "w" : "a");
  });
  return { append: (bytes) => named(() => writeAll(descriptor, bytes)), close: () => closeSync(descriptor) };
}

/** What lies in a folder, in the order of names; links count as what they lead to. Throws DataError when it is no folder. */
export function listFolder(path: string): { name: string; folder: boolean }[] {
  try {
    const names = readdirSync(path).sort();
    return names.map((name) => ({ name, folder: statSync(join(path, name)).isDirectory() }));
  } catch (error) {
    throw new DataError(`cannot read the folder ${path}: ${reason(error)}`, { cause: error });
  }
}

/** True when something lies at `path`. */
export const exists = (path: string): boolean => existsSync(path);

/** The size of a file in bytes, 0 when it is absent. */
export const fileSize = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** Removes a file; an absent one is no error. */
export const removeFile = (path: string): void => rmSync(path, { force: true });

/** MD5 of some bytes, in hexadecimal: what the publishers of MNIST give. It guards against accidents, not attackers. */
export const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");

/**
 * Unpacks gzip. Never produces more than `maxBytes`: a bomb ends in FormatError with that much memory spent.
 * `name` is what the error calls the data.
 */
export function gunzip(bytes: Uint8Array, maxBytes: number, name: string): Uint8Array<ArrayBuffer> {
  try {
    const unpacked = gunzipSync(bytes, { maxOutputLength: maxBytes });
    return new Uint8Array(unpacked.buffer as ArrayBuffer, unpacked.byteOffset, unpacked.byteLength);
  } catch (error) {
    const tooLarge = isSystemError(error) && error.code === "ERR_BUFFER_TOO_LARGE";
    throw new FormatError(
      tooLarge ? `${name}: unpacks to more than ${maxBytes} bytes` : `${name}: damaged gzip data: ${reason(error)}`,
      { cause: error },
    );
  }
}

/** A variable of the environment; undefined when unset or empty. */
export const environment = (name: string): string | undefined => process.env[name] || undefined;

/** Where data sets are kept for this user: `$XDG_CACHE_HOME/cresset/data`, by default under `~/.cache`. */
export function userDataFolder(): string {
  const base =
    environment("XDG_CACHE_HOME") ??
    (process.platform === "win32" ? environment("LOCALAPPDATA") : undefined) ??
    join(homedir(), ".cache");
  return join(base, "cresset", "data");
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(descriptor, bytes, done, Math.min(bytes.length - done, 1 << 30));
  }
}

/** A rename is only durable once its folder is flushed. Not every system lets a folder be opened. */
function syncFolder(folder: string): void {
  try {
    const descriptor = openSync(folder, "r");
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return;
  }
}

const isBytes = (value: Uint8Array | Iterable<Uint8Array>): value is Uint8Array => value instanceof Uint8Array;

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).code === "string";

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
