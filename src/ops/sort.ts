/**
 * Sorting. Where the numbers are at hand it is done there (`order.ts`). What torch.compile records sorts by a bitonic network (Batcher,
 * 1968): log²n rounds of compare-and-exchange, each one map kernel. Both are stable, and NaN counts as the largest.
 */
import { record, records } from "../autograd/tape.js";
import { ValueError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Expr } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { isnan, whereSelect } from "./arithmetic.js";
import { capturing } from "./capture.js";
import { emptyTensor, LoopFamily } from "./core.js";
import { positionsLike } from "./creation.js";
import { defaultInteger, isFloating, itemBytes } from "./dtype.js";
import { gather, scatter } from "./gather.js";
import { keysOf, Sorter } from "./order.js";
import { extremeWithIndex } from "./reduce.js";
import { wrapDim } from "./shape.js";
import { cast, clone, contiguous, copyInto, fill, narrow, reshape, slice, transpose } from "./view.js";

/** Keys and positions in rows of a power of two; entries at positions ≥ n are padding and sort last. */
function exchange(descending: boolean): LoopFamily {
  return new LoopFamily(
    {
      name: "sortExchange",
      build: (load, s) => {
        const type = load(0).type;
        const i = k.index(1);
        const block = s(0);
        const distance = s(1);
        const row = k.mul(k.index(0), s(2));
        const partner = k.xor(i, distance);
        const at = k.add(row, partner);
        const mine = { key: k.gather(0, type, k.add(row, i)), place: k.gather(1, "i32", k.add(row, i)) };
        const other = { key: k.gather(0, type, at), place: k.gather(1, "i32", at) };
        const n = s(3);
        const goesFirst = (x: typeof mine, y: typeof mine): Expr => {
          const xPad = k.ge(x.place, n);
          const yPad = k.ge(y.place, n);
          const xNaN = k.isFloat(type) ? k.isNaN(x.key) : k.bool(false);
          const yNaN = k.isFloat(type) ? k.isNaN(y.key) : k.bool(false);
          const ordered = descending ? k.lt(y.key, x.key) : k.lt(x.key, y.key);
          const before = k.isFloat(type)
            ? descending
              ? k.or(ordered, k.and(xNaN, k.not(yNaN)))
              : k.or(ordered, k.and(yNaN, k.not(xNaN)))
            : ordered;
          const same = k.isFloat(type) ? k.or(k.eq(x.key, y.key), k.and(xNaN, yNaN)) : k.eq(x.key, y.key);
          const inData = k.or(before, k.and(same, k.lt(x.place, y.place)));
          return k.select(k.ne(k.cast(xPad, "i32"), k.cast(yPad, "i32")), yPad, inData);
        };
        // In ascending blocks the lower index keeps what goes first.
        const lower = k.lt(i, partner);
        const up = k.eq(k.and(i, block), 0);
        const keepFirst = k.eq(k.cast(lower, "i32"), k.cast(up, "i32"));
        const mineFirst = goesFirst(mine, other);
        const keepMine = k.eq(k.cast(keepFirst, "i32"), k.cast(mineFirst, "i32"));
        return [
          { value: k.select(keepMine, mine.key, other.key), per: "element" },
          { value: k.select(keepMine, mine.place, other.place), per: "element" },
        ];
      },
    },
    ["i32", "i32", "i32", "i32"],
    true,
  );
}
const networks = { up: exchange(false), down: exchange(true) };

export interface SortOptions {
  descending?: boolean;
  stable?: boolean;
}

/** https://pytorch.org/docs/stable/generated/torch.sort.html — always stable. */
export function sort(x: Tensor, dim = -1, o: SortOptions = {}): { values: Tensor; indices: Tensor } {
  if (x.shape.length === 0)
    return { values: clone(x), indices: reshape(cast(positionsLike(1, x), defaultInteger), []) };
  const d = wrapDim("sort", dim, x.shape.length);
  const descending = o.descending === true;
  if (capturing() !== null || !x.device.engine.host) return byNetwork(x, d, descending);
  const { values, indices } = chosen(x, d, x.shape[d] as number, descending);
  return { values: attach("sort", x, values, indices, d), indices };
}

interface Chosen {
  readonly values: Tensor;
  readonly indices: Tensor;
}

/** The first `count` along a dimension, in order, where the numbers are at hand. */
const chosen = (x: Tensor, d: number, count: number, descending: boolean): Chosen =>
  pick(x, d, count, descending, (sorter, base, n, places) => {
    if (count === n) sorter.order(base, places);
    else sorter.first(base, count, places);
  });

/** `count` places of each row along a dimension, as `find` writes them. */
function pick(
  x: Tensor,
  d: number,
  count: number,
  descending: boolean,
  find: (sorter: Sorter, base: number, n: number, places: Int32Array) => void,
): Chosen {
  const last = x.shape.length - 1;
  const data = contiguous(transpose(x.detach(), d, last));
  const n = data.shape[last] as number;
  const rows = n === 0 ? 0 : data.numel() / n;
  const shape = [...data.shape.slice(0, last), count];
  const values = emptyTensor(shape, x.dtype, x.device);
  const indices = emptyTensor(shape, "int32", x.device);
  if (rows * count > 0) {
    const { engine } = x.device;
    const size = itemBytes[x.dtype];
    // A copy: a view does not outlive the next one.
    const bytes = engine.view(data.buffer).slice(data.offset * size, (data.offset + rows * n) * size);
    const sorter = new Sorter(keysOf(bytes, x.dtype, descending), n);
    const found = new Int32Array(rows * count);
    for (let r = 0; r < rows; r++) find(sorter, r * n, n, found.subarray(r * count, (r + 1) * count));
    // A number of 8 bytes is moved as two words.
    const Words = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: Uint32Array }[size as 1 | 2 | 4 | 8];
    const wordsOf = (b: Uint8Array): Words =>
      new Words(b.buffer as ArrayBuffer, b.byteOffset, b.byteLength / Words.BYTES_PER_ELEMENT);
    const target = engine.view(values.buffer);
    if (size === 8) takePairs(wordsOf(bytes), wordsOf(target), found, n, count);
    else takeWords(wordsOf(bytes), wordsOf(target), found, n, count);
    engine.view(indices.buffer).set(new Uint8Array(found.buffer));
  }
  const back = (t: Tensor): Tensor => contiguous(transpose(t, d, last));
  return { values: back(values), indices: back(cast(indices, defaultInteger)) };
}

type Words = Uint8Array | Uint16Array | Uint32Array;

function takeWords(from: Words, to: Words, places: Int32Array, n: number, count: number): void {
  for (let i = 0, base = 0; i < places.length; base += n)
    for (const end = i + count; i < end; i++) to[i] = from[base + (places[i] as number)] as number;
}

function takePairs(from: Words, to: Words, places: Int32Array, n: number, count: number): void {
  for (let i = 0, base = 0; i < places.length; base += n)
    for (const end = i + count; i < end; i++) {
      const p = 2 * (base + (places[i] as number));
      to[2 * i] = from[p] as number;
      to[2 * i + 1] = from[p + 1] as number;
    }
}

/** The same in kernels, which can be recorded. */
function byNetwork(x: Tensor, d: number, descending: boolean): { values: Tensor; indices: Tensor } {
  const last = x.shape.length - 1;
  const data = contiguous(transpose(x.detach(), d, last));
  const n = data.shape[last] as number;
  const rows = n === 0 ? 0 : data.numel() / n;
  const width = 2 ** Math.ceil(Math.log2(Math.max(1, n)));
  const work = x.dtype === "bool" ? "uint8" : x.dtype;
  let keys = emptyTensor([rows, width], work, x.device);
  let places = emptyTensor([rows, width], "int32", x.device);
  if (rows > 0) {
    fill(keys, 0);
    copyInto(slice(keys, 1, 0, n), reshape(data, [rows, n]));
    copyInto(places, positionsLike(width, x));
    const network = descending ? networks.down : networks.up;
    for (let block = 2; block <= width; block *= 2) {
      for (let distance = block / 2; distance >= 1; distance /= 2) {
        const nextKeys = emptyTensor([rows, width], work, x.device);
        const nextPlaces = emptyTensor([rows, width], "int32", x.device);
        network.run(
          [keys, places, nextKeys, nextPlaces],
          2,
          [rows, width],
          [],
          [
            [0, 0],
            [0, 0],
            [width, 1],
            [width, 1],
          ],
          [block, distance, width, n],
        );
        keys = nextKeys;
        places = nextPlaces;
      }
    }
  }
  const indices = contiguous(transpose(reshape(cast(slice(places, 1, 0, n), defaultInteger), data.shape), d, last));
  const plain = contiguous(transpose(reshape(cast(slice(keys, 1, 0, n), x.dtype), data.shape), d, last));
  return { values: attach("sort", x, plain, indices, d), indices };
}

/** Gradients of chosen values go back to where they were chosen from. */
function attach(name: string, x: Tensor, values: Tensor, indices: Tensor, d: number): Tensor {
  if (isFloating(x.dtype) && records([x])) {
    const { shape } = x;
    record(name, [x], [values], [indices], ([g], node) => {
      const zeros = emptyTensor(shape, (g as Tensor).dtype, (g as Tensor).device);
      fill(zeros, 0);
      return [scatter(zeros, d, node.input(0), g as Tensor)];
    });
  }
  return values;
}

export const argsort = (x: Tensor, dim = -1, o: SortOptions = {}): Tensor => sort(x.detach(), dim, o).indices;

export interface TopkOptions {
  largest?: boolean;
}
/** The k largest (or smallest) along a dimension, in order. */
export function topk(x: Tensor, count: number, dim = -1, o: TopkOptions = {}): { values: Tensor; indices: Tensor } {
  const d = wrapDim("topk", dim, x.shape.length);
  const n = x.shape.length === 0 ? 1 : (x.shape[d] as number);
  if (!Number.isInteger(count) || count < 0 || count > n)
    throw new ValueError(`topk: ${count} of ${n} entries along dimension ${d}`);
  if (x.shape.length === 0) return sort(x);
  if (count === 1) return extremeWithIndex(o.largest === false ? "min" : "max", x, d, true);
  const descending = o.largest ?? true;
  if (capturing() === null && x.device.engine.host) {
    const { values, indices } = chosen(x, d, count, descending);
    return { values: attach("topk", x, values, indices, d), indices };
  }
  const { indices } = sort(x.detach(), d, { descending });
  const first = contiguous(narrow(indices, d, 0, count));
  return { values: gather(x, d, first), indices: first };
}

/** The place of what stands at `rank` in the order along a dimension. */
function placeOf(x: Tensor, d: number, rank: number): Tensor {
  if (capturing() !== null || !x.device.engine.host || x.numel() === 0 || x.shape.length === 0)
    return contiguous(narrow(sort(x, d).indices, d, rank, 1));
  return pick(x, d, 1, false, (sorter, base, _, places) => {
    places[0] = sorter.nth(base, rank);
  }).indices;
}

/** The lower median, or the first NaN. https://docs.pytorch.org/docs/stable/generated/torch.median.html */
export function median(x: Tensor, dim?: number | null, keepdim = false): { values: Tensor; indices: Tensor } {
  const flat = dim === undefined || dim === null;
  const source = flat ? reshape(x, [-1]) : x;
  const d = wrapDim("median", flat ? 0 : (dim as number), source.shape.length);
  const n = source.shape[d] ?? 1;
  const rank = Math.floor((n - 1) / 2);
  const data = source.detach();
  let middle = placeOf(data, d, rank);
  if (isFloating(x.dtype) && n > 0) {
    const top = extremeWithIndex("max", data, d, true);
    middle = whereSelect.call(top.indices, middle, isnan.call(top.values));
  }
  const values = gather(source, d, middle);
  if (keepdim) return { values, indices: middle };
  const drop = (t: Tensor): Tensor =>
    reshape(
      t,
      t.shape.filter((_, i) => i !== d),
    );
  return { values: drop(values), indices: drop(middle) };
}
