/**
 * Data sets from CSV files: a line is an item, one column its label. The seed's layout of MNIST is a label and 784
 * pixels. `CsvDataset` holds all of it in one tensor, `CsvStream` never more than a few thousand lines.
 */
import { fileSize } from "#files";
import { type Batch, stream } from "#tables";
import { checkOptions, checkPath, refuseArgument } from "../arguments.js";
import { DataError, FormatError, ValueError } from "../errors.js";
import type { TypedArray } from "../ops/creation.js";
import { empty, fromTypedArray, isTensor, type Tensor, tensor } from "../tensor/index.js";
import { checkIndex, Dataset, IterableDataset } from "./dataset.js";
import { getWorkerInfo } from "./serve.js";
import { Misfit, type Piece } from "./table/builder.js";
import { allocate, numbersIn } from "./table/column.js";
import { type CsvPlan, explain, otherWay, planCsv } from "./table/read.js";

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

type Numbers = Exclude<TypedArray, BigInt64Array>;

interface Block {
  readonly features: TypedArray;
  readonly labels: Int32Array;
}

/** Room for a whole file, one block after another. Memory that is not written to is not taken. */
class Room {
  readonly #layout: Layout;
  #features: Tensor;
  #labels: Int32Array;
  #length = 0;

  constructor(layout: Layout) {
    const { path, columns, rows } = layout.plan;
    this.#layout = layout;
    // A value and what separates it take two bytes at least.
    const most = Math.ceil(fileSize(path) / (2 * columns.length)) + 1;
    this.#labels = new Int32Array(Math.min(rows, most));
    this.#features = this.#room();
  }

  #room(): Tensor {
    return empty([this.#labels.length, this.#layout.width], { dtype: this.#layout.dtype });
  }

  place(count: number): Block {
    const start = this.#length;
    const end = start + count;
    if (end > this.#labels.length) {
      const { features, labels } = this.filled();
      this.#labels = new Int32Array(Math.ceil(end * 1.5));
      this.#labels.set(labels);
      this.#features = this.#room();
      this.#features.narrow(0, 0, start).copy_(features);
    }
    this.#length = end;
    const { width, dtype } = this.#layout;
    const bytes = this.#features.device.engine.view(this.#features.buffer);
    const features = numbersIn(bytes, dtype).subarray(start * width, end * width);
    return { features, labels: this.#labels.subarray(start, end) };
  }

  filled(): { features: Tensor; labels: Int32Array } {
    return { features: this.#features.narrow(0, 0, this.#length), labels: this.#labels.subarray(0, this.#length) };
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
  const numbers = dtype === "float32" ? "float32" : "float64";
  const plan = await planCsv(what, path, { header, sep, nrows, dtype: numbers }, label);
  if (!(Number.isInteger(label) && label >= 0 && label < plan.columns.length)) {
    throw new ValueError(`${what}: label is column ${label}; ${path} has columns 0 to ${plan.columns.length - 1}`);
  }
  return { plan, label, width: plan.columns.length - 1, dtype, divisor };
}

/** Lines that are filled before the next column is read: their part of the block stays in the cache. */
const run = 64;

/** The file's lines as blocks of row-major features and of labels, which `place` gives room for. */
async function* blocks(what: string, layout: Layout, place: (count: number) => Block): AsyncGenerator<Block> {
  let before = 0;
  for (let { plan } = layout; ; ) {
    try {
      const rest = before === 0 ? plan.sql : `select * from (${plan.sql}) offset ${before}`;
      for await (const batch of stream(rest, plan.columns)) {
        yield blockOf(batch, layout, place(batch.length), before);
        before += batch.length;
      }
      return;
    } catch (error) {
      const next = otherWay(plan, error);
      // The last way takes "NA" and the like for missing values, which no item may have.
      if (next === undefined || next.next === null) throw explain(what, plan, error);
      plan = next;
    }
  }
}

function blockOf({ length, piece }: Batch, layout: Layout, block: Block, before: number): Block {
  const { label, width, divisor, dtype } = layout;
  const { columns } = layout.plan;
  const pieces = columns.map(({ name }, c) => complete(piece(c), name, before));
  const misfit = (column: number, i: number, wanted: Layout["dtype"]): never => {
    throw new Misfit(columns[column]?.name ?? "", before + i, String(pieces[column]?.[i]), wanted);
  };
  fill(block.labels, 1, 0, pieces[label] as Numbers, 0, length, 1, (i) => misfit(label, i, "int32"));
  const rest = pieces.filter((_, c) => c !== label);
  for (let start = 0; start < length; start += run) {
    const end = Math.min(length, start + run);
    for (const [c, from] of rest.entries()) {
      const column = c < label ? c : c + 1;
      fill(block.features as Numbers, width, c, from, start, end, divisor, (i) => misfit(column, i, dtype));
    }
  }
  return block;
}

/** Copies part of a column to every `stride`-th place; an integer that does not fit, or a fraction, is a misfit. */
function fill(
  to: Numbers,
  stride: number,
  offset: number,
  from: Numbers,
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

function complete({ data, valid }: Piece, name: string, before: number): Numbers {
  const missing = valid === null ? -1 : valid.indexOf(0);
  if (missing >= 0) throw new Misfit(name, before + missing, "nothing", "float32");
  return data as Numbers;
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
    return new CsvDataset(features, labels);
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
