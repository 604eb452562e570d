/**
 * numpy's .npy: one array. Read in every version and order, and in either byte order; written as numpy writes it. The pure
 * halves work on bytes and run in a browser. Archives of arrays are in `npz.ts`.
 */
import { openFile, writeFileAtomic } from "#files";
import { checkBytes, checkPath, checkTensor } from "../arguments.js";
import { FormatError } from "../errors.js";
import { itemBytes } from "../ops/dtype.js";
import type { Tensor } from "../tensor/index.js";
import { type NpyHeader, npyHeaderBytes, readNpyHeader, writeNpyHeader } from "./npy-header.js";
import { allBytesOf, type ByteSource, bytesOf, rangeOf, sourceOf, TensorSink } from "./tensor-bytes.js";

/**
 * Writes a tensor as `numpy.save` does, whole or not at all. Views are written as they look, in C order.
 * Errors: DTypeError for bfloat16, which numpy lacks; DataError when the file cannot be written.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { loadNpy, saveNpy } from "cresset/io";
 *
 * saveNpy(torch.eye(3), "eye.npy");
 * console.log(loadNpy("eye.npy").shape); // [3, 3]
 * ```
 *
 * Source: {@link https://numpy.org/doc/stable/reference/generated/numpy.save.html}
 */
export function saveNpy(tensor: Tensor, path: string): void {
  checkTensor("saveNpy", "tensor", tensor);
  checkPath("saveNpy", path);
  writeFileAtomic(path, npyChunks(tensor));
}

/**
 * The tensor in an .npy file, as `numpy.load` reads it. Fortran order comes as a strided view, big-endian numbers are turned.
 * Errors: DataError when the file is absent, FormatError when it is not what it says or holds a dtype that is not here
 * (unsigned beyond 8 bits, complex, strings, objects, records).
 */
export function loadNpy(path: string): Tensor {
  checkPath("loadNpy", path);
  const file = openFile(path);
  try {
    return readNpy(file, path);
  } finally {
    file.close();
  }
}

/** The bytes of an .npy file holding `tensor`. */
export function serializeNpy(tensor: Tensor): Uint8Array<ArrayBuffer> {
  checkTensor("serializeNpy", "tensor", tensor);
  return allBytesOf(npyChunks(tensor), npySize(tensor));
}

/** The tensor in the bytes of an .npy file; errors as for `loadNpy`. `name` is what they call the data. */
export function deserializeNpy(bytes: Uint8Array, name = ".npy data"): Tensor {
  checkBytes("deserializeNpy", bytes);
  return readNpy(sourceOf(bytes, name), name);
}

/** The size of the file that holds `tensor`. */
export function npySize(tensor: Tensor): number {
  return writeNpyHeader(tensor.dtype, tensor.shape).length + tensor.numel() * itemBytes[tensor.dtype];
}

/** The file that holds `tensor`, in chunks. */
export function* npyChunks(tensor: Tensor): Iterable<Uint8Array> {
  yield writeNpyHeader(tensor.dtype, tensor.shape);
  yield* bytesOf(tensor);
}

/** Reads a whole .npy file. */
export function readNpy(source: ByteSource, name: string): Tensor {
  const headerBytes = npyHeaderBytes(source.read(0, Math.min(12, source.size)), name);
  if (headerBytes > source.size) throw new FormatError(`${name}: ends inside its header`);
  const header = readNpyHeader(source.read(0, headerBytes), name);
  checkNpySize(header, source.size - headerBytes, name);
  const sink = npySink(header, name);
  for (const chunk of rangeOf(source, headerBytes, header.dataBytes)) sink.write(chunk);
  return arrange(sink.finish(), header);
}

/** Throws FormatError unless `bytes` of elements are what the header says: before any memory is taken. */
export function checkNpySize({ dataBytes, shape, dtype }: NpyHeader, bytes: number, name: string): void {
  if (bytes !== dataBytes) {
    throw new FormatError(
      `${name}: shape (${shape.join(", ")}) of ${dtype} takes ${dataBytes} bytes; ${bytes} are there`,
    );
  }
}

/** Takes the elements in the order of the file. */
export function npySink({ shape, dtype, littleEndian, fortranOrder }: NpyHeader, name: string): TensorSink {
  return new TensorSink(name, fortranOrder ? shape.toReversed() : shape, dtype, littleEndian);
}

/** Fortran's order is C's with the dimensions turned round. */
export function arrange(tensor: Tensor, { fortranOrder, shape }: NpyHeader): Tensor {
  return fortranOrder && shape.length > 1 ? tensor.permute(shape.map((_, i) => shape.length - 1 - i)) : tensor;
}
