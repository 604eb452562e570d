/**
 * Between files and tensors' memory, in pieces: a tensor is written chunk by chunk and filled where it lies, so that a file
 * of a gigabyte needs no second gigabyte. What the bytes around the elements mean is left to the formats.
 */
import { FormatError } from "../errors.js";
import { emptyTensor } from "../ops/core.js";
import { itemBytes } from "../ops/dtype.js";
import { clone } from "../ops/view.js";
import { type DType, defaultDevice, noGrad, readBytes, type Shape, type Tensor } from "../tensor/index.js";
import { hostIsLittleEndian, swapBytes } from "./byte-order.js";

/** Where a file's bytes come from: an open file, or bytes in memory. */
export interface ByteSource {
  readonly size: number;
  /** `length` bytes from `offset`. Throws FormatError when there are not as many. */
  read(offset: number, length: number): Uint8Array;
}

/** How much passes at a time. A multiple of every dtype's size. */
export const chunkBytes = 4 * 1024 * 1024;

/** Bytes in memory as a source; `name` is what errors call them. */
export function sourceOf(bytes: Uint8Array, name: string): ByteSource {
  return {
    size: bytes.length,
    read(offset, length) {
      if (offset + length > bytes.length) {
        throw new FormatError(`${name}: ends at byte ${bytes.length}, ${offset + length} were expected`);
      }
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A range of a source, in chunks. */
export function* rangeOf(source: ByteSource, offset: number, length: number): Iterable<Uint8Array> {
  for (let done = 0; done < length; done += chunkBytes) {
    yield source.read(offset + done, Math.min(chunkBytes, length - done));
  }
}

/** A contiguous tensor on its way: its bytes come in any pieces. */
export class TensorSink {
  private readonly tensor: Tensor;
  private done = 0;

  constructor(
    private readonly name: string,
    shape: Shape,
    dtype: DType,
    private readonly littleEndian = true,
  ) {
    this.tensor = emptyTensor(shape, dtype, defaultDevice());
  }

  write(bytes: Uint8Array): void {
    const { buffer, device } = this.tensor;
    if (this.done + bytes.length > buffer.bytes) {
      throw new FormatError(`${this.name}: more than the ${buffer.bytes} bytes of ${this.tensor.dtype} were given`);
    }
    // Asked for anew each time: memory may move between two pieces.
    if (bytes.length > 0) device.engine.view(buffer).set(bytes, this.done);
    this.done += bytes.length;
  }

  /** The tensor. Throws FormatError unless every byte has come, or if a truth value is neither 0 nor 1. */
  finish(): Tensor {
    const { buffer, device, dtype } = this.tensor;
    if (this.done !== buffer.bytes) {
      throw new FormatError(`${this.name}: ends after ${this.done} of ${buffer.bytes} bytes`);
    }
    if (buffer.bytes === 0) return this.tensor;
    const bytes = device.engine.view(buffer);
    if (this.littleEndian !== hostIsLittleEndian && itemBytes[dtype] > 1) swapBytes(bytes, itemBytes[dtype]);
    if (dtype === "bool" && bytes.some((byte) => byte > 1)) {
      throw new FormatError(`${this.name}: a truth value is neither 0 nor 1`);
    }
    return this.tensor;
  }
}

/** A tensor's elements in row-major order, little-endian, in chunks that are the caller's to keep. */
export function* bytesOf(tensor: Tensor): Iterable<Uint8Array> {
  const whole = tensor.isContiguous() ? tensor.detach() : noGrad(() => clone(tensor.detach()));
  const flat = whole.reshape(-1);
  const count = flat.numel();
  const width = itemBytes[tensor.dtype];
  for (let start = 0; start < count; start += chunkBytes / width) {
    const bytes = readBytes(flat.narrow(0, start, Math.min(chunkBytes / width, count - start)));
    if (!hostIsLittleEndian) swapBytes(bytes, width);
    yield bytes;
  }
}

/** All of it at once. */
export function allBytesOf(chunks: Iterable<Uint8Array>, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let done = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, done);
    done += chunk.length;
  }
  return bytes;
}
