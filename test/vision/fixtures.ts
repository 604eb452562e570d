/** Small IDX files made by hand, and folders to put them in. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { onTestFinished } from "vitest";

/** The bytes of an IDX file; `code` 8 is uint8. */
export function idxBytes(sizes: number[], data: ArrayLike<number>, code = 8): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 + 4 * sizes.length + data.length);
  bytes.set([0, 0, code, sizes.length]);
  const view = new DataView(bytes.buffer);
  sizes.forEach((size, i) => void view.setUint32(4 + 4 * i, size));
  bytes.set(Array.from(data), 4 + 4 * sizes.length);
  return bytes;
}

/** `count` images whose pixels are (7·index + pixel) mod 256. */
export const imageFile = (count: number) =>
  idxBytes(
    [count, 28, 28],
    Uint8Array.from({ length: count * 784 }, (_, i) => 7 * Math.floor(i / 784) + (i % 784)),
  );

export const labelFile = (labels: number[]) => idxBytes([labels.length], labels);

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "cresset-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function put(path: string, bytes: Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

/** A data set of `labels.length` images in `folder`, packed or plain. */
export function putMnist(folder: string, half: "train" | "t10k", labels: number[], packed = false): void {
  const end = packed ? ".gz" : "";
  const pack = (bytes: Uint8Array) => (packed ? gzipSync(bytes) : bytes);
  put(join(folder, `${half}-images-idx3-ubyte${end}`), pack(imageFile(labels.length)));
  put(join(folder, `${half}-labels-idx1-ubyte${end}`), pack(labelFile(labels)));
}
