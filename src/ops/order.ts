/**
 * The order of numbers whose memory is at hand. Their bits become unsigned keys that compare as the numbers do, with −0 as 0 and NaN
 * as the largest; the keys are sorted a digit at a time from the lowest (radix sort), which leaves equal ones in their places.
 */
import type { DType } from "./dtype.js";

export interface Keys {
  /** The keys, or their upper halves. */
  readonly high: Uint32Array;
  /** The lower halves of 64-bit keys. */
  readonly low: Uint32Array | null;
  /** How many bits of `high` there are. */
  readonly bits: 8 | 16 | 32;
}

/** The keys of numbers that lie in `bytes`, in the other direction if `descending`. */
export function keysOf(bytes: Uint8Array, dtype: DType, descending: boolean): Keys {
  const memory = bytes.slice().buffer;
  const keys = ascending(memory, dtype);
  if (descending) {
    const mask = keys.bits === 32 ? 0xffffffff : (1 << keys.bits) - 1;
    for (const words of [keys.high, keys.low])
      if (words !== null) for (let i = 0; i < words.length; i++) words[i] ^= mask;
  }
  return keys;
}

function ascending(memory: ArrayBuffer, dtype: DType): Keys {
  switch (dtype) {
    case "float32": {
      const high = new Uint32Array(memory);
      for (let i = 0; i < high.length; i++) {
        const word = high[i] as number;
        const magnitude = word & 0x7fffffff;
        high[i] =
          magnitude > 0x7f800000 ? 0xffffffff : word >>> 31 === 0 || magnitude === 0 ? magnitude | 0x80000000 : ~word;
      }
      return { high, low: null, bits: 32 };
    }
    case "float64": {
      const words = new Uint32Array(memory);
      const n = words.length / 2;
      const [high, low] = [new Uint32Array(n), new Uint32Array(n)];
      for (let i = 0; i < n; i++) {
        const [l, h] = [words[2 * i] as number, words[2 * i + 1] as number];
        const magnitude = h & 0x7fffffff;
        const nan = magnitude > 0x7ff00000 || (magnitude === 0x7ff00000 && l !== 0);
        const positive = h >>> 31 === 0 || (magnitude === 0 && l === 0);
        high[i] = nan ? 0xffffffff : positive ? magnitude | 0x80000000 : ~h;
        low[i] = nan ? 0xffffffff : positive ? l : ~l;
      }
      return { high, low, bits: 32 };
    }
    case "float16":
    case "bfloat16": {
      const infinity = dtype === "float16" ? 0x7c00 : 0x7f80;
      const key = (half: number): number => {
        const magnitude = half & 0x7fff;
        if (magnitude > infinity) return 0xffff;
        return half < 0x8000 || magnitude === 0 ? magnitude | 0x8000 : ~half & 0xffff;
      };
      return { high: Uint32Array.from(new Uint16Array(memory), key), low: null, bits: 16 };
    }
    case "int64": {
      const words = new Uint32Array(memory);
      const n = words.length / 2;
      const [high, low] = [new Uint32Array(n), new Uint32Array(n)];
      for (let i = 0; i < n; i++) {
        high[i] = (words[2 * i + 1] as number) ^ 0x80000000;
        low[i] = words[2 * i] as number;
      }
      return { high, low, bits: 32 };
    }
    case "int32":
      return { high: Uint32Array.from(new Int32Array(memory), (v) => v ^ 0x80000000), low: null, bits: 32 };
    case "int16":
      return { high: Uint32Array.from(new Int16Array(memory), (v) => v + 0x8000), low: null, bits: 16 };
    case "int8":
      return { high: Uint32Array.from(new Int8Array(memory), (v) => v + 0x80), low: null, bits: 8 };
    default:
      return { high: Uint32Array.from(new Uint8Array(memory)), low: null, bits: 8 };
  }
}

/** Up to here places are inserted one by one. */
const few = 32;
/** From here on digits are of 11 bits, of which a key of 32 has three. */
const many = 4096;

/** Sorts rows of keys one after another. */
export class Sorter {
  private readonly spare: Int32Array;
  private readonly digit: number;
  private readonly counts: Uint32Array;

  constructor(
    private readonly keys: Keys,
    /** Keys of a row. */
    private readonly n: number,
  ) {
    this.spare = new Int32Array(n);
    this.digit = n < many ? 8 : 11;
    this.counts = new Uint32Array(2 ** this.digit);
  }

  /** The places, counted from `base`, of the keys from there on, in the order of the keys. */
  order(base: number, places: Int32Array): void {
    const { keys, n } = this;
    for (let i = 0; i < n; i++) places[i] = i;
    if (n <= few) {
      for (let i = 1; i < n; i++) this.insert(base, places, i, i);
      return;
    }
    let [from, to] = [places, this.spare];
    const pass = (words: Uint32Array, shift: number): void => {
      if (this.move(words, base, shift, from, to)) [from, to] = [to, from];
    };
    if (keys.low !== null) for (let shift = 0; shift < 32; shift += this.digit) pass(keys.low, shift);
    for (let shift = 0; shift < keys.bits; shift += this.digit) pass(keys.high, shift);
    if (from !== places) places.set(from);
  }

  /** The places of the first `count` keys only. */
  first(base: number, count: number, places: Int32Array): void {
    if (count > few || count * 4 > this.n) {
      const all = new Int32Array(this.n);
      this.order(base, all);
      places.set(all.subarray(0, count));
      return;
    }
    let held = 0;
    for (let i = 0; i < this.n; i++) {
      if (held === count && !this.before(base + i, base + (places[count - 1] as number))) continue;
      if (held < count) held += 1;
      this.insert(base, places, held - 1, i);
    }
  }

  private before(i: number, j: number): boolean {
    const { high, low } = this.keys;
    const [a, b] = [high[i] as number, high[j] as number];
    return a !== b || low === null ? a < b : (low[i] as number) < (low[j] as number);
  }

  /** Puts place `p` among the first `held` places, which are in order. */
  private insert(base: number, places: Int32Array, held: number, p: number): void {
    let at = held;
    for (; at > 0 && this.before(base + p, base + (places[at - 1] as number)); at--)
      places[at] = places[at - 1] as number;
    places[at] = p;
  }

  /** One digit: `to` gets the places of `from` in its order. False, and nothing is moved, where all have the same. */
  private move(words: Uint32Array, base: number, shift: number, from: Int32Array, to: Int32Array): boolean {
    const { counts, n } = this;
    const mask = counts.length - 1;
    counts.fill(0);
    for (let i = 0; i < n; i++) counts[((words[base + i] as number) >>> shift) & mask] += 1;
    if (counts[((words[base] as number) >>> shift) & mask] === n) return false;
    let total = 0;
    for (let d = 0; d <= mask; d++) {
      const count = counts[d] as number;
      counts[d] = total;
      total += count;
    }
    for (let i = 0; i < n; i++) {
      const p = from[i] as number;
      const d = ((words[base + p] as number) >>> shift) & mask;
      to[counts[d] as number] = p;
      counts[d] += 1;
    }
    return true;
  }
}
