/**
 * Fetching published files from mirrors that are slow, gone, or cut the line. What is on disk under a file's own name
 * is always whole and has its checksum; what is on its way lies beside it as `.part` and is taken up again.
 * Which files and where from is left to the data sets.
 */
import { basename, exists, fileSize, gunzip, md5, openAppend, readFile, removeFile, writeFileAtomic } from "#files";
import { DataError, FormatError } from "../errors.js";

export interface DownloadProgress {
  /** The remote file's name. */
  file: string;
  /** Bytes of it that are here, resumed ones included. */
  received: number;
  /** Bytes it has in all; undefined when the server does not say. */
  total: number | undefined;
  /** Where it comes from. */
  mirror: string;
}

export interface DownloadOptions {
  /** Base addresses, tried in order. */
  mirrors?: readonly string[];
  /** Called as bytes arrive. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Stops the download; what has arrived is kept and resumed next time. */
  signal?: AbortSignal | undefined;
  /** How long a mirror may be silent, in milliseconds; 20,000 by default. */
  timeout?: number;
  /** Checksums by remote name, where a mirror of your own serves other files. */
  md5?: Readonly<Record<string, string>>;
}

export interface RemoteFile {
  /** Its name under a mirror, packed with gzip. */
  readonly remote: string;
  /** Where it goes, unpacked. */
  readonly path: string;
  readonly md5: string;
  /** At most this many bytes are taken, packed or unpacked. */
  readonly maxBytes: number;
  /** Throws when the unpacked bytes are not what they should be. */
  check?(bytes: Uint8Array<ArrayBuffer>, name: string): void;
  /** Puts an archive's members in their places, the one at `path` last, instead of unpacking gzip to `path`. */
  unpack?(packed: Uint8Array<ArrayBuffer>, name: string): Promise<void>;
}

/** Fetches those of `files` that are not there yet. `what` is what errors call them together. */
export async function downloadAll(
  what: string,
  files: readonly RemoteFile[],
  options: DownloadOptions & { mirrors: readonly string[] },
): Promise<void> {
  for (const file of files) {
    if (exists(file.path)) continue;
    const failures: string[] = [];
    if (!(await anyMirror(file, options, failures))) {
      throw new DataError(`${what}: ${file.remote} could not be downloaded: ${failures.join("; ") || "no mirrors"}`);
    }
  }
}

async function anyMirror(
  file: RemoteFile,
  options: DownloadOptions & { mirrors: readonly string[] },
  failures: string[],
): Promise<boolean> {
  const part = `${file.path}.gz.part`;
  for (const mirror of options.mirrors) {
    const url = `${mirror.replace(/\/+$/, "")}/${file.remote}`;
    try {
      // A part that was begun elsewhere may be another file's: then once more from the start.
      for (let tries = fileSize(part) > 0 ? 2 : 1; ; tries--) {
        await fetchPart(url, mirror, part, file, options);
        if (await finish(part, file, url)) return true;
        if (tries === 1) throw new FormatError("checksum differs");
      }
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      failures.push(`${url}: ${cause(error)}`);
    }
  }
  return false;
}

/** Puts the finished file in its place; false, and the part gone, when its checksum is not the published one. */
async function finish(part: string, file: RemoteFile, url: string): Promise<boolean> {
  const packed = readFile(part, file.maxBytes);
  try {
    if (md5(packed) !== file.md5) return false;
    if (file.unpack !== undefined) {
      await file.unpack(packed, url);
      return true;
    }
    const bytes = gunzip(packed, file.maxBytes, url);
    file.check?.(bytes, url);
    writeFileAtomic(file.path, bytes);
    return true;
  } finally {
    removeFile(part);
  }
}

/** Brings `part` up to the whole remote file, asking only for what is missing. */
async function fetchPart(
  url: string,
  mirror: string,
  part: string,
  file: RemoteFile,
  options: DownloadOptions,
): Promise<void> {
  const have = fileSize(part);
  const silence = new Silence(options.timeout ?? 20_000, options.signal);
  try {
    const response = await fetch(url, {
      // A packed file must arrive as it is: no encoding on top that Content-Length and Range would then count.
      headers: { "Accept-Encoding": "identity", ...(have > 0 ? { Range: `bytes=${have}-` } : {}) },
      signal: silence.signal,
    });
    if (response.status === 416) return; // Nothing is missing: the checksum decides.
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new DataError(`HTTP ${response.status}`);
    }
    const continued = response.status === 206 && rangeStart(response) === have;
    if (response.status === 206 && !continued) {
      await response.body.cancel();
      throw new DataError("answered with another range than was asked for");
    }
    let received = continued ? have : 0;
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    const total = Number.isFinite(length) ? received + length : undefined;
    const output = openAppend(part, !continued);
    try {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        silence.heard();
        received += chunk.length;
        if (received > file.maxBytes) throw new FormatError(`more than ${file.maxBytes} bytes`);
        output.append(chunk);
        options.onProgress?.({ file: basename(url), received, total, mirror });
      }
    } finally {
      output.close();
    }
    if (total !== undefined && received !== total) throw new DataError(`ended after ${received} of ${total} bytes`);
  } catch (error) {
    if (error instanceof FormatError) removeFile(part);
    throw error;
  } finally {
    silence.end();
  }
}

/** The first byte of a partial answer: `Content-Range: bytes 500-999/1000`. */
function rangeStart(response: Response): number | undefined {
  const match = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return match ? Number(match[1]) : undefined;
}

/** Aborts when nothing has been heard for a while, or when the caller's own signal says so. */
class Silence {
  readonly #controller = new AbortController();
  readonly #milliseconds: number;
  readonly #outer: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #abort = () => this.#controller.abort(this.#outer?.reason);

  constructor(milliseconds: number, outer: AbortSignal | undefined) {
    this.#milliseconds = milliseconds;
    this.#outer = outer;
    outer?.addEventListener("abort", this.#abort);
    if (outer?.aborted) this.#abort();
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#controller.abort(new DataError(`no answer for ${this.#milliseconds / 1000} s`)),
      this.#milliseconds,
    );
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#abort);
  }
}

/** What went wrong, in a few words: fetch hides the reason in `cause`. */
function cause(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
