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
  const down = descending ? 0xffffffff : 0;
  switch (dtype) {
    case "float32":
      return { high: float32Keys(new Uint32Array(memory), down), low: null, bits: 32 };
    case "float64":
      return halves(new Uint32Array(memory), float64Keys, down);
    case "int64":
      return halves(new Uint32Array(memory), int64Keys, down);
    case "int32":
      return { high: shifted(new Uint32Array(memory), 0x80000000 ^ down), low: null, bits: 32 };
    case "float16":
      return { high: halfKeys(new Uint16Array(memory), 0x7c00, down & 0xffff), low: null, bits: 16 };
    case "bfloat16":
      return { high: halfKeys(new Uint16Array(memory), 0x7f80, down & 0xffff), low: null, bits: 16 };
    case "int16":
      return {
        high: shifted(Uint32Array.from(new Uint16Array(memory)), 0x8000 ^ (down & 0xffff)),
        low: null,
        bits: 16,
      };
    case "int8":
      return { high: shifted(Uint32Array.from(new Uint8Array(memory)), 0x80 ^ (down & 0xff)), low: null, bits: 8 };
    default:
      return { high: shifted(Uint32Array.from(new Uint8Array(memory)), down & 0xff), low: null, bits: 8 };
  }
}

// A loop for each, since what V8 has seen of one kind of array makes the code for another slow.

function shifted(words: Uint32Array, by: number): Uint32Array {
  for (let i = 0; i < words.length; i++) words[i] = (words[i] as number) ^ by;
  return words;
}

function float32Keys(words: Uint32Array, down: number): Uint32Array {
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    const magnitude = word & 0x7fffffff;
    const positive = word === magnitude || magnitude === 0;
    words[i] = (magnitude > 0x7f800000 ? 0xffffffff : positive ? magnitude | 0x80000000 : ~word) ^ down;
  }
  return words;
}

function halfKeys(halves: Uint16Array, infinity: number, down: number): Uint32Array {
  const keys = new Uint32Array(halves.length);
  for (let i = 0; i < keys.length; i++) {
    const half = halves[i] as number;
    const magnitude = half & 0x7fff;
    const positive = half === magnitude || magnitude === 0;
    keys[i] = (magnitude > infinity ? 0xffff : positive ? magnitude | 0x8000 : ~half & 0xffff) ^ down;
  }
  return keys;
}

type HalfKeys = (words: Uint32Array, high: Uint32Array, low: Uint32Array, down: number) => void;

function halves(words: Uint32Array, keys: HalfKeys, down: number): Keys {
  const n = words.length >>> 1;
  const high = new Uint32Array(n);
  const low = new Uint32Array(n);
  keys(words, high, low, down);
  return { high, low, bits: 32 };
}

const int64Keys: HalfKeys = (words, high, low, down) => {
  for (let i = 0; i < high.length; i++) {
    high[i] = (words[2 * i + 1] as number) ^ 0x80000000 ^ down;
    low[i] = (words[2 * i] as number) ^ down;
  }
};

const float64Keys: HalfKeys = (words, high, low, down) => {
  for (let i = 0; i < high.length; i++) {
    const l = words[2 * i] as number;
    const h = words[2 * i + 1] as number;
    const magnitude = h & 0x7fffffff;
    const nan = magnitude > 0x7ff00000 || (magnitude === 0x7ff00000 && l !== 0);
    const positive = h === magnitude || (magnitude === 0 && l === 0);
    high[i] = (nan ? 0xffffffff : positive ? magnitude | 0x80000000 : ~h) ^ down;
    low[i] = (nan ? 0xffffffff : positive ? l : ~l) ^ down;
  }
};

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
    const { high, low } = this.keys;
    for (let i = 0; i < count; i++) this.insert(base, places, i, i);
    let last = places[count - 1] as number;
    let bound = high[base + last] as number;
    for (let i = count; i < this.n; i++) {
      const key = high[base + i] as number;
      if (key > bound || (key === bound && (low === null || !this.before(base + i, base + last)))) continue;
      this.insert(base, places, count - 1, i);
      last = places[count - 1] as number;
      bound = high[base + last] as number;
    }
  }

  /** The place that stands at `rank` in the order. */
  nth(base: number, rank: number): number {
    const { high, low, bits } = this.keys;
    // Digits from the highest on: among the keys that have those found so far, the digit that holds the rank is the next.
    const upper = this.search(high, bits, base, rank, null, 0);
    const found = low === null ? upper : this.search(low, 32, base, upper.rank, high, upper.key);
    let left = found.rank;
    for (let i = 0; i < this.n; i++) {
      if (high[base + i] !== upper.key || (low !== null && low[base + i] !== found.key)) continue;
      if (left === 0) return i;
      left -= 1;
    }
    throw new RangeError(`order: no key has rank ${rank} among ${this.n}`);
  }

  /** The word of the key at `rank` among keys whose `other` word is `same`, and its rank among those that share the word. */
  private search(
    words: Uint32Array,
    bits: number,
    base: number,
    rank: number,
    other: Uint32Array | null,
    same: number,
  ): { key: number; rank: number } {
    const { counts, digit, n } = this;
    let key = 0;
    let left = rank;
    let shift = bits;
    while (shift > 0) {
      const width = Math.min(digit, shift);
      const above = shift;
      shift -= width;
      const mask = 2 ** width - 1;
      counts.fill(0);
      for (let i = base; i < base + n; i++) {
        const word = words[i] as number;
        // A shift by 32 would be none.
        if (above < 32 && word >>> above !== key) continue;
        if (other !== null && other[i] !== same) continue;
        counts[(word >>> shift) & mask] += 1;
      }
      let d = 0;
      for (; left >= (counts[d] as number); d++) left -= counts[d] as number;
      key = key * 2 ** width + d;
    }
    return { key, rank: left };
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
