/**
 * The native engine's memory. Every byte lies in an ArrayBuffer that the garbage collector owns, so nothing can leak:
 * small buffers are cut from slabs, large ones have an ArrayBuffer of their own. `release` is only an optimisation: what
 * the library knows to be dead goes to a free list and is reused while it is still in the cache.
 */
import { Buffer as NodeBuffer } from "node:buffer";
import { Buffer } from "../engine.js";

export class NativeBuffer extends Buffer {
  constructor(
    bytes: number,
    readonly address: number,
    readonly memory: ArrayBuffer,
    readonly offset: number,
    readonly sizeClass: number,
  ) {
    super(bytes);
  }
}

const slabBytes = 256 * 1024;
const smallest = 64;
/** From this size on, huge pages are asked for. */
const hugeBytes = 4 * 1024 * 1024;
/** At most this much is kept in free lists, in all. */
const keepBytes = 256 * 1024 * 1024;

/** Multiples of 64 bytes to 512, then eight sizes an octave. */
function sizeClassOf(bytes: number): number {
  const step = bytes <= 512 ? smallest : 2 ** (31 - Math.clz32(bytes - 1) - 3);
  return Math.max(smallest, Math.ceil(bytes / step) * step);
}

/**
 * An ArrayBuffer that nobody has filled with zeros: its memory may come back from one that was collected, pages and all, where
 * `new ArrayBuffer` would clear it first.
 */
function uninitialised(bytes: number): ArrayBuffer {
  return NodeBuffer.allocUnsafeSlow(bytes).buffer as ArrayBuffer;
}

export class NativeMemory {
  private slab: ArrayBuffer | null = null;
  private slabAddress = 0;
  private slabUsed = 0;
  private readonly free = new Map<number, NativeBuffer[]>();
  private kept = 0;

  constructor(
    private readonly addressOf: (memory: ArrayBuffer) => number,
    private readonly adviseHuge: (address: number, bytes: number) => void,
  ) {}

  alloc(bytes: number): NativeBuffer {
    const size = sizeClassOf(bytes);
    const list = this.free.get(size);
    if (list !== undefined && list.length > 0) {
      const b = list.pop() as NativeBuffer;
      this.kept -= size;
      // A new object: whoever still holds the old one must not see the new contents through its version.
      return new NativeBuffer(bytes, b.address, b.memory, b.offset, size);
    }
    if (size > slabBytes / 8) {
      const memory = uninitialised(size + 64);
      const address = this.addressOf(memory);
      const offset = (64 - (address % 64)) % 64;
      if (size >= hugeBytes) this.adviseHuge(address, memory.byteLength);
      return new NativeBuffer(bytes, address + offset, memory, offset, size);
    }
    if (this.slab === null || this.slabUsed + size > this.slab.byteLength) {
      this.slab = uninitialised(slabBytes);
      this.slabAddress = this.addressOf(this.slab);
      this.slabUsed = (64 - (this.slabAddress % 64)) % 64;
    }
    const offset = this.slabUsed;
    this.slabUsed += size;
    return new NativeBuffer(bytes, this.slabAddress + offset, this.slab, offset, size);
  }

  release(buffer: NativeBuffer): void {
    if (this.kept + buffer.sizeClass > keepBytes) return;
    this.kept += buffer.sizeClass;
    const list = this.free.get(buffer.sizeClass);
    if (list === undefined) this.free.set(buffer.sizeClass, [buffer]);
    else list.push(buffer);
  }
}
