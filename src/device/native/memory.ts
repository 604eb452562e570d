/**
 * The native engine's memory. Every byte lies in an ArrayBuffer that the garbage collector owns, so nothing can leak:
 * small buffers are cut from slabs, large ones have an ArrayBuffer of their own. `release` is only an optimisation: what
 * the library knows to be dead goes to a free list and is reused while it is still in the cache; for what a program drops
 * the collector is asked in time (`scavenger.ts`).
 *
 * A collection of what is young takes a fraction of a millisecond, one of what is old several, and another core. Memory becomes
 * old in a free list. So tensors that a program may hold, if they are larger than a slab, get memory that is new, or as good as
 * new, and what free lists keep goes round among the library's own temporaries.
 */
import { Buffer as NodeBuffer } from "node:buffer";
import { DeviceError } from "../../errors.js";
import { Buffer } from "../engine.js";
import { Scavenger } from "./scavenger.js";

export class NativeBuffer extends Buffer {
  constructor(
    bytes: number,
    readonly address: number,
    readonly memory: ArrayBuffer,
    readonly offset: number,
    readonly sizeClass: number,
    /** The memory was new when it was made for a program, and may still be young. */
    readonly young = false,
  ) {
    super(bytes);
  }
}

const slabBytes = 256 * 1024;
/** From this size on, huge pages are asked for. */
const hugeBytes = 4 * 1024 * 1024;
/** At most this much is kept in free lists, in all. */
const keepBytes = 256 * 1024 * 1024;

/** Sizes come in classes: multiples of 64 bytes to 512, then eight an octave. This is the number of the class. */
function sizeClassOf(bytes: number): number {
  if (bytes <= 512) return bytes === 0 ? 0 : (bytes - 1) >> 6;
  const last = bytes - 1;
  if (last < 2 ** 32) {
    const octave = 31 - Math.clz32(last);
    return 8 * (octave - 8) + ((last >>> (octave - 3)) & 7);
  }
  const octave = Math.floor(Math.log2(last));
  return 8 * (octave - 8) + (Math.floor(last / 2 ** (octave - 3)) & 7);
}
/** The bytes of each class, to 2^43: the largest tensor has 2^40 numbers of 8 bytes. */
const sizes = Array.from({ length: 8 * 35 }, (_, c) => (c < 8 ? (c + 1) << 6 : (9 + (c & 7)) * 2 ** ((c >> 3) + 5)));

/**
 * An ArrayBuffer that nobody has filled with zeros: its memory may come back from one that was collected, pages and all, where
 * `new ArrayBuffer` would clear it first.
 */
function uninitialised(bytes: number): ArrayBuffer {
  try {
    return NodeBuffer.allocUnsafeSlow(bytes).buffer as ArrayBuffer;
  } catch (cause) {
    throw new DeviceError(`native: Node gives no buffer of ${bytes} bytes`, { cause });
  }
}

/** Released buffers, by class. */
class FreeLists {
  bytes = 0;
  private readonly lists: NativeBuffer[][] = sizes.map(() => []);

  take(sizeClass: number): NativeBuffer | undefined {
    const b = (this.lists[sizeClass] as NativeBuffer[]).pop();
    if (b !== undefined) this.bytes -= sizes[sizeClass] as number;
    return b;
  }

  keep(b: NativeBuffer): void {
    this.bytes += sizes[b.sizeClass] as number;
    (this.lists[b.sizeClass] as NativeBuffer[]).push(b);
  }

  clear(): void {
    if (this.bytes === 0) return;
    for (const list of this.lists) list.length = 0;
    this.bytes = 0;
  }
}

export class NativeMemory {
  private slab: ArrayBuffer | null = null;
  private slabAddress = 0;
  private slabUsed = 0;
  /** What has been released; what is young is kept apart, and only until the next collection. */
  private readonly free = new FreeLists();
  private readonly freeYoung = new FreeLists();
  private readonly scavenger: Scavenger;

  /** `interval`: bytes after which it is time to look for what was dropped. */
  constructor(
    private readonly addressOf: (memory: ArrayBuffer) => number,
    private readonly adviseHuge: (address: number, bytes: number) => void,
    interval: number,
  ) {
    // What a list still held in a collection would be old after it.
    this.scavenger = new Scavenger(interval, () => this.freeYoung.clear());
  }

  alloc(bytes: number, temporary: boolean): NativeBuffer {
    const sizeClass = sizeClassOf(bytes);
    const size = sizes[sizeClass] as number;
    const large = size > slabBytes / 8;
    const young = size > slabBytes && !temporary;
    const b = (young ? this.freeYoung : this.free).take(sizeClass);
    if (b !== undefined) {
      // A new object: whoever still holds the old one must not see the new contents through its version.
      return new NativeBuffer(bytes, b.address, b.memory, b.offset, sizeClass, young);
    }
    if (large) {
      const memory = this.fresh(size + 64);
      const address = this.addressOf(memory);
      const offset = (64 - (address % 64)) % 64;
      if (size >= hugeBytes) this.adviseHuge(address, memory.byteLength);
      return new NativeBuffer(bytes, address + offset, memory, offset, sizeClass, young);
    }
    if (this.slab === null || this.slabUsed + size > this.slab.byteLength) {
      this.slab = this.fresh(slabBytes);
      this.slabAddress = this.addressOf(this.slab);
      this.slabUsed = (64 - (this.slabAddress % 64)) % 64;
    }
    const offset = this.slabUsed;
    this.slabUsed += size;
    return new NativeBuffer(bytes, this.slabAddress + offset, this.slab, offset, sizeClass);
  }

  private fresh(bytes: number): ArrayBuffer {
    this.scavenger.before(bytes);
    return uninitialised(bytes);
  }

  release(buffer: NativeBuffer): void {
    const size = sizes[buffer.sizeClass] as number;
    if (this.free.bytes + this.freeYoung.bytes + size > keepBytes) return;
    (buffer.young ? this.freeYoung : this.free).keep(buffer);
  }

  backwardEnded(): void {
    this.scavenger.backwardEnded();
  }
}
