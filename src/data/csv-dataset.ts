/**
 * Data sets from CSV files: a line is an item, one column its label. The seed's layout of MNIST is a label and 784
 * pixels. `CsvDataset` holds all of it in one tensor, `CsvStream` never more than a few thousand lines.
 */
import { fileSize } from "#files";
import { stream } from "#tables";
import { checkOptions, checkPath, refuseArgument } from "../arguments.js";
import { DataError, FormatError, ValueError } from "../errors.js";
import type { TypedArray } from "../ops/creation.js";
import { fromTypedArray, isTensor, type Tensor, tensor } from "../tensor/index.js";
import { checkIndex, Dataset, IterableDataset } from "./dataset.js";
import { getWorkerInfo } from "./serve.js";
import { Misfit, type Piece } from "./table/builder.js";
import { allocate } from "./table/column.js";
import { type CsvPlan, explain, planCsv } from "./table/read.js";

export interface CsvDatasetOptions {
  /** 0: the first line has names; null (the default, as MNIST's files are): it is the first item. */
  header?: 0 | null;
  /** Which column is the label, counted from 0; 0 by default. */
  label?: number;
  /** What separates values; "," by default. */
  sep?: string;
  /** The dtype of the features: float32 by default. uint8 holds pixels in a quarter of the memory. */
  dtype?: "uint8" | "int32" | "float32" | "float64";
  /** Features are divided by this: 255 for pixels. Only for float dtypes. */
  divisor?: number;
  /** How many items to read; all by default. */
  nrows?: number;
}

interface Block {
  readonly features: TypedArray;
  readonly labels: Int32Array;
}

/** Room for a whole file, one block after another. Memory that is not written to is not taken. */
class Room {
  readonly #layout: Layout;
  #features: TypedArray;
  #labels: Int32Array;
  #length = 0;

  constructor(layout: Layout) {
    this.#layout = layout;
    // A value and what separates it take two bytes at least.
    const most = Math.ceil(fileSize(layout.plan.path) / (2 * layout.plan.columns.length)) + 1;
    const rows = Math.min(most, Math.ceil(2 ** 27 / layout.width));
    this.#features = allocate(layout.dtype, rows * layout.width);
    this.#labels = new Int32Array(rows);
  }

  place(count: number): Block {
    const { width, dtype } = this.#layout;
    const end = this.#length + count;
    if (end > this.#labels.length) {
      const { features, labels } = this.filled();
      const rows = Math.ceil(end * 1.5);
      this.#features = allocate(dtype, rows * width);
      this.#features.set(features as never);
      this.#labels = new Int32Array(rows);
      this.#labels.set(labels);
    }
    const block = {
      features: this.#features.subarray(this.#length * width, end * width),
      labels: this.#labels.subarray(this.#length, end),
    };
    this.#length = end;
    return block;
  }

  filled(): Block {
    const features = this.#features.subarray(0, this.#length * this.#layout.width);
    return { features, labels: this.#labels.subarray(0, this.#length) };
  }
}

interface Layout {
  readonly plan: CsvPlan;
  readonly label: number;
  readonly width: number;
  readonly dtype: NonNullable<CsvDatasetOptions["dtype"]>;
  readonly divisor: number;
}

async function layoutOf(what: string, path: string, options: CsvDatasetOptions): Promise<Layout> {
  checkPath(what, path);
  checkOptions(what, options);
  const { header = null, label = 0, sep, dtype = "float32", divisor = 1, nrows } = options;
  if (!["uint8", "int32", "float32", "float64"].includes(dtype))
    refuseArgument(what, "dtype", dtype, '"uint8", "int32", "float32" or "float64"');
  if (!(Number.isFinite(divisor) && divisor !== 0)) throw new ValueError(`${what}: divisor is ${divisor}`);
  if (divisor !== 1 && !dtype.startsWith("float")) {
    throw new ValueError(`${what}: divisor ${divisor} makes fractions; dtype is ${dtype}`);
  }
  const plan = await planCsv(what, path, { header, sep, nrows, dtype: dtype === "float32" ? "float32" : "float64" });
  if (!(Number.isInteger(label) && label >= 0 && label < plan.columns.length)) {
    throw new ValueError(`${what}: label is column ${label}; ${path} has columns 0 to ${plan.columns.length - 1}`);
  }
  return { plan, label, width: plan.columns.length - 1, dtype, divisor };
}

/** Lines that are filled before the next column is read: their part of the block stays in the cache. */
const run = 64;

/** The file's lines as blocks of row-major features and of labels, which `place` gives room for. */
async function* blocks(
  what: string,
  { plan, label, width, divisor, dtype }: Layout,
  place: (count: number) => Block,
): AsyncGenerator<Block> {
  let before = 0;
  try {
    for await (const { length, piece } of stream(plan.sql, plan.columns)) {
      const block = place(length);
      const features = block.features as Float64Array;
      const { labels } = block;
      const pieces = plan.columns.map(({ name }, c) => complete(piece(c), name, before));
      fill(labels, 1, 0, pieces[label] as Float64Array, 0, length, 1, (i) =>
        misfit(plan, label, before + i, pieces, i, "int32"),
      );
      const rest = pieces.filter((_, c) => c !== label);
      for (let start = 0; start < length; start += run) {
        const end = Math.min(length, start + run);
        for (const [c, from] of rest.entries()) {
          const column = c < label ? c : c + 1;
          fill(features, width, c, from, start, end, divisor, (i) =>
            misfit(plan, column, before + i, pieces, i, dtype),
          );
        }
      }
      before += length;
      yield block;
    }
  } catch (error) {
    throw explain(what, plan, error);
  }
}

/** Copies part of a column to every `stride`-th place; an integer that does not fit, or a fraction, is a misfit. */
function fill(
  to: Float64Array | Int32Array,
  stride: number,
  offset: number,
  from: Float64Array,
  start: number,
  end: number,
  divisor: number,
  wrong: (row: number) => never,
): void {
  const whole = !(to instanceof Float32Array || to instanceof Float64Array);
  for (let i = start, at = start * stride + offset; i < end; i++, at += stride) {
    const value = (from[i] as number) / divisor;
    to[at] = value;
    if (whole && to[at] !== value) wrong(i);
  }
}

function complete({ data, valid }: Piece, name: string, before: number): Float64Array {
  const missing = valid === null ? -1 : valid.indexOf(0);
  if (missing >= 0) throw new Misfit(name, before + missing, "nothing", "float32");
  return data as Float64Array;
}

function misfit(
  plan: CsvPlan,
  column: number,
  row: number,
  pieces: readonly Float64Array[],
  i: number,
  dtype: "int32" | "uint8" | "float32" | "float64",
): never {
  throw new Misfit(plan.columns[column]?.name ?? "", row, String(pieces[column]?.[i]), dtype);
}

/**
 * A CSV file of labelled items in memory. Items are [features (columns − 1), label]; a `DataLoader` gives
 * [features (B, columns − 1), int32 labels (B)].
 *
 * Errors: DataError when the file is absent; FormatError, with line and column, for a line of another length, a missing
 * value, text among numbers, a label that is not a whole number, and a feature that its dtype does not hold.
 *
 * @example
 * const train = await CsvDataset.read("mnist_train.csv", { divisor: 255 });
 * const [image, label] = train.get(0); // float32 (784) in 0 … 1, and its digit
 */
export class CsvDataset extends Dataset<[Tensor, number]> {
  /** All features, (N, columns − 1). */
  readonly features: Tensor;
  /** All labels, int32 (N). */
  readonly labels: Tensor;
  readonly #labels: Int32Array;

  private constructor(features: Tensor, labels: Int32Array) {
    super();
    if (!isTensor(features) || !(labels instanceof Int32Array))
      throw new ValueError("CsvDataset: a file takes time to read: await CsvDataset.read(path)");
    this.features = features;
    this.labels = fromTypedArray(labels, [labels.length]);
    this.#labels = labels;
  }

  /** Reads the file. */
  static async read(path: string, options: CsvDatasetOptions = {}): Promise<CsvDataset> {
    const layout = await layoutOf("CsvDataset", path, options);
    const room = new Room(layout);
    for await (const _ of blocks("CsvDataset", layout, (count) => room.place(count)));
    const { features, labels } = room.filled();
    if (labels.length === 0) throw new FormatError(`CsvDataset: ${path} has no lines of data`);
    return new CsvDataset(fromTypedArray(features, [labels.length, layout.width]), labels);
  }

  override get length(): number {
    return this.#labels.length;
  }

  override get(index: number): [Tensor, number] {
    checkIndex("CsvDataset", index, this.length);
    return [this.features.select(0, index), this.#labels[index] as number];
  }

  override getBatch(indices: ArrayLike<number>): [Tensor, Tensor] {
    const rows = tensor(Int32Array.from(indices));
    return [this.features.indexSelect(0, rows), this.labels.indexSelect(0, rows)];
  }
}

/**
 * The same items, one after another, for files larger than memory: iterate with `for await`, or give it to a
 * `DataLoader` and iterate that with `for await`. Each iteration reads the file anew. In a loader's workers each gives its
 * share: of n workers, number k the lines k, k + n, k + 2n, …
 *
 * @example
 * for await (const [image, label] of new CsvStream("mnist_train.csv", { divisor: 255 })) console.log(image.shape, label);
 */
export class CsvStream extends IterableDataset<[Tensor, number]> {
  readonly path: string;
  readonly #options: CsvDatasetOptions;

  constructor(path: string, options: CsvDatasetOptions = {}) {
    super();
    checkPath("CsvStream", path);
    checkOptions("CsvStream", options);
    this.path = path;
    this.#options = options;
  }

  [Symbol.iterator](): Iterator<[Tensor, number]> {
    throw new DataError(`CsvStream: ${this.path} is read as time goes; iterate with for await`);
  }

  override async *[Symbol.asyncIterator](): AsyncIterator<[Tensor, number]> {
    const layout = await layoutOf("CsvStream", this.path, this.#options);
    const place = (count: number): Block => ({
      features: allocate(layout.dtype, count * layout.width),
      labels: new Int32Array(count),
    });
    const { id, numWorkers } = getWorkerInfo() ?? { id: 0, numWorkers: 1 };
    let before = 0;
    for await (const { features, labels } of blocks("CsvStream", layout, place)) {
      const all = fromTypedArray(features, [labels.length, layout.width]);
      for (const [i, label] of labels.entries()) {
        if ((before + i) % numWorkers === id) yield [all.select(0, i), label];
      }
      before += labels.length;
    }
  }
}
