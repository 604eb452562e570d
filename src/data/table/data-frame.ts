/**
 * A table in memory: pandas's DataFrame as notebooks use it, over typed columns. Files and SQL are DuckDB's (`#tables`,
 * loaded when first needed), statistics are tensors', pictures are `cresset/plot`'s.
 */
import { writeFileAtomicFrom } from "#files";
import * as engine from "#tables";
import { checkObject, checkOptions, checkPath, checkStrings, refuseArgument } from "../../arguments.js";
import { CressetError, FormatError, IndexError, ShapeError, ValueError } from "../../errors.js";
import type { Figure } from "../../plot/figure.js";
import { isTensor, type Tensor } from "../../tensor/index.js";
import {
  allocate,
  type Cell,
  type Column,
  type ColumnDType,
  cellOf,
  columnFrom,
  take,
  toTensor,
  wrapIndex,
} from "./column.js";
import { describeColumns } from "./describe.js";
import { type FramePlotOptions, plotFrame } from "./plot.js";
import { collect, planCsv, type ReadCsvOptions, readOther, readPlan } from "./read.js";
import { Series, seriesOf } from "./series.js";
import { htmlTable, textTable } from "./show.js";

/** A part of the rows or columns, as in `iloc[a:b]`: negative places count from the end. */
export interface Slice {
  start?: number;
  stop?: number;
}

/** Rows (arrays or objects), a list of numbers or strings, columns by name, or a tensor of one or two dimensions. */
export type FrameData =
  | Tensor
  | readonly Cell[]
  | readonly (readonly Cell[])[]
  | readonly Readonly<Record<string, Cell>>[]
  | Readonly<Record<string, ArrayLike<unknown> | Tensor>>;

/**
 * Columns of one length, each of one dtype. Never changed: what changes makes a new frame, which shares what is the same.
 *
 * @example
 * const df = new DataFrame([0.9, 0.5, 0.3], { columns: ["loss"] });
 * df.shape; // [3, 1]
 * df.values; // tensor (3, 1)
 */
export class DataFrame {
  readonly #columns: readonly Column[];
  /** How many rows there are. */
  readonly length: number;

  /**
   * Errors: ShapeError when columns or rows differ in length, or names in number; ValueError when a column mixes kinds.
   */
  constructor(data: FrameData, options: { columns?: readonly string[] } = {}) {
    checkOptions("DataFrame", options);
    const columns = data instanceof Table ? data.columns : columnsOf(data, options.columns);
    const odd = columns.find((column) => column.data.length !== columns[0]?.data.length);
    if (odd !== undefined) {
      throw new ShapeError(
        `DataFrame: column "${odd.name}" has ${odd.data.length} values, "${columns[0]?.name}" has ${columns[0]?.data.length}`,
      );
    }
    this.#columns = columns;
    this.length = data instanceof Table ? data.length : (columns[0]?.data.length ?? 0);
  }

  /** Rows and columns. */
  get shape(): readonly [number, number] {
    return [this.length, this.#columns.length];
  }

  /** The columns' names. */
  get columns(): readonly string[] {
    return this.#columns.map(({ name }) => name);
  }

  /** The dtype of each column, by name. */
  get dtypes(): Readonly<Record<string, ColumnDType>> {
    return Object.fromEntries(this.#columns.map(({ name, dtype }) => [name, dtype]));
  }

  /** All values as a tensor (rows, columns) of the columns' common dtype. ValueError for strings and missing values. */
  get values(): Tensor {
    return toTensor("DataFrame.values", this.#columns, this.length);
  }

  /** A column, by name. IndexError when there is none. */
  column(name: string): Series {
    const column = this.#find(name);
    const index = Array.from({ length: this.length }, (_, i) => String(i));
    return new Series(column.name, index, column);
  }

  /** Some columns, in the order named. */
  select(names: readonly string[]): DataFrame {
    checkStrings("DataFrame.select", "names", names);
    return frame(
      names.map((name) => this.#find(name)),
      this.length,
    );
  }

  /**
   * By position, as pandas's `iloc`: a row, a cell, part of a row, some rows, part of the table.
   *
   * @example
   * const row = df.iloc(0); // df.iloc[0]
   * const label = df.iloc(0, 0); // df.iloc[0, 0]
   * const image = df.iloc(0, { start: 1 }).values.reshape(28, 28); // df.iloc[0, 1:].values.reshape(28, 28)
   */
  iloc(row: number): Series;
  iloc(row: number, column: number): Cell;
  iloc(row: number, columns: Slice): Series;
  iloc(rows: Slice | readonly number[], column: number): Series;
  iloc(rows: Slice | readonly number[], columns?: Slice): DataFrame;
  iloc(rows: number | Slice | readonly number[], columns?: number | Slice): Series | Cell | DataFrame {
    if (typeof rows !== "number" && !Array.isArray(rows)) checkSlice("rows", rows);
    if (columns !== undefined && typeof columns !== "number") checkSlice("columns", columns);
    if (typeof rows === "number") {
      const row = wrapIndex("DataFrame.iloc: row", rows, this.length);
      if (typeof columns === "number") {
        return cellOf(this.#columns[wrapIndex("DataFrame.iloc: column", columns, this.#columns.length)] as Column, row);
      }
      const chosen = this.#columns.slice(columns?.start, columns?.stop);
      return seriesOf(
        String(row),
        chosen.map(({ name }) => name),
        chosen.map((column) => cellOf(column, row)),
      );
    }
    const chosen = this.#columns.slice((columns as Slice | undefined)?.start, (columns as Slice | undefined)?.stop);
    const places = Array.isArray(rows)
      ? Int32Array.from(rows as readonly number[], (row) => wrapIndex("DataFrame.iloc: row", row, this.length))
      : range(rows as Slice, this.length);
    if (typeof columns === "number") {
      const column = this.#columns[wrapIndex("DataFrame.iloc: column", columns, this.#columns.length)] as Column;
      return new Series(column.name, Array.from(places, String), take(column, places));
    }
    return frame(
      chosen.map((column) => take(column, places)),
      places.length,
    );
  }

  /** The first `n` rows; all but the last −n where it is negative. */
  head(n = 5): DataFrame {
    checkWhole("DataFrame.head", "n", n);
    return this.iloc({ stop: n });
  }

  /** The last `n` rows; all but the first −n where it is negative. */
  tail(n = 5): DataFrame {
    checkWhole("DataFrame.tail", "n", n);
    return this.iloc({ start: n < 0 ? -n : Math.max(0, this.length - n) });
  }

  /** Count, mean, standard deviation (n − 1), minimum, quartiles and maximum of each column of numbers. */
  describe(): DataFrame {
    return frame(describeColumns(this.#columns), 8);
  }

  /** The rows in which nothing is missing. NaN counts as missing, as in pandas. */
  dropna(): DataFrame {
    const rows: number[] = [];
    for (let row = 0; row < this.length; row++)
      if (this.#columns.every((column) => !isMissing(column, row))) rows.push(row);
    return this.iloc(rows);
  }

  /** Puts `value` where a number is missing or NaN. ValueError where a column cannot hold it. */
  fillna(value: number): DataFrame {
    if (typeof value !== "number") refuseArgument("DataFrame.fillna", "value", value, "a number");
    const filled = this.#columns.map((column): Column => {
      const { data, dtype, name } = column;
      if (dtype === "string") return column;
      const copy = allocate(dtype, this.length) as Float64Array;
      copy.set(data as Float64Array);
      for (let row = 0; row < this.length; row++) {
        if (!isMissing(column, row)) continue;
        const fits = dtype === "int64" ? Number.isSafeInteger(value) : true;
        copy[row] = (dtype === "int64" && fits ? BigInt(value) : value) as number;
        if (!fits || (dtype !== "float32" && Number(copy[row]) !== value)) {
          throw new ValueError(`fillna: column "${name}" is ${dtype} and does not hold ${value}`);
        }
      }
      return { name, dtype, data: copy, valid: null };
    });
    return frame(filled, this.length);
  }

  /**
   * A picture of the columns of numbers: pandas's `plot`. Lines over the rows' numbers by default.
   *
   * Errors: ValueError when there is no such column, or none of numbers.
   *
   * @example
   * const figure = new DataFrame([0.9, 0.5, 0.3], { columns: ["loss"] }).plot({ ylim: [0, 1], grid: true, marker: "." });
   * await figure.save("loss.svg");
   */
  plot(options: FramePlotOptions = {}): Figure {
    checkOptions("DataFrame.plot", options);
    return plotFrame(this, options);
  }

  /** The rows as objects. */
  toRecords(): Record<string, Cell>[] {
    return Array.from({ length: this.length }, (_, row) =>
      Object.fromEntries(this.#columns.map((column) => [column.name, cellOf(column, row)])),
    );
  }

  /**
   * SQL over this table, which is called `df` there: whatever pandas does by `groupby`, `merge` or `query`.
   * The dialect is DuckDB's, https://duckdb.org/docs/stable/sql/introduction
   *
   * @example
   * const counts = await df.sql("select label, count(*) as images from df group by label order by label");
   */
  async sql(query: string): Promise<DataFrame> {
    if (typeof query !== "string") refuseArgument("DataFrame.sql", "query", query, "a string");
    return engine.withTable("df", this.#columns, this.length, async (table) => {
      try {
        const { columns, length } = await collect(query, await table.describe(query), 0, table.stream);
        return frame(columns, length);
      } catch (error) {
        if (error instanceof CressetError) throw error;
        throw new ValueError(`DataFrame.sql: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    });
  }

  /** Writes the table, whole or not at all. The file's end says as what: .csv, .parquet, .jsonl. */
  async save(path: string): Promise<void> {
    checkPath("DataFrame.save", path);
    const form = /\.(csv|parquet|jsonl|ndjson)$/.exec(path)?.[1];
    const copy = { csv: "format csv, header", parquet: "format parquet", jsonl: "format json", ndjson: "format json" };
    if (form === undefined) throw new ValueError(`DataFrame.save: ${path} does not end in .csv, .parquet or .jsonl`);
    await writeFileAtomicFrom(path, async (temporary) => {
      const to = `${engine.quoteText(temporary)} (${copy[form as keyof typeof copy]})`;
      await engine.withTable("df", this.#columns, this.length, (table) => table.run(`copy df to ${to}`));
    });
  }

  toString(): string {
    return textTable(this.#columns, this.length);
  }
  /** @internal */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
  /** What notebooks show. @internal */
  [Symbol.for("Jupyter.display")](): Record<string, string> {
    return { "text/plain": this.toString(), "text/html": htmlTable(this.#columns, this.length) };
  }

  #find(name: string): Column {
    const column = this.#columns.find((each) => each.name === name);
    if (column === undefined) {
      throw new IndexError(`DataFrame: no column "${name}"; there are ${this.columns.slice(0, 8).join(", ")}`);
    }
    return column;
  }
}

/** Columns on their way into a frame, uncopied. */
class Table {
  constructor(
    readonly columns: readonly Column[],
    readonly length: number,
  ) {}
}
const frame = (columns: readonly Column[], length: number): DataFrame =>
  new DataFrame(new Table(columns, length) as unknown as FrameData);

function columnsOf(data: FrameData, names: readonly string[] | undefined): Column[] {
  if (names !== undefined) {
    checkStrings("DataFrame", "columns", names);
  }
  if (isTensor(data)) return tensorColumns(data, names);
  if (!Array.isArray(data)) {
    checkObject("DataFrame", "data", data, "rows, columns by name, a list or a tensor");
    const given = data as Readonly<Record<string, ArrayLike<unknown> | Tensor>>;
    return (names ?? Object.keys(given)).map((name) => {
      const values = given[name];
      if (values === undefined)
        throw new IndexError(`DataFrame: no column "${name}" among ${Object.keys(given).join(", ")}`);
      return columnFrom(name, isTensor(values) ? values.detach().flatten().toTypedArray() : values);
    });
  }
  const first: unknown = data[0];
  if (Array.isArray(first)) {
    const rows = data as readonly (readonly Cell[])[];
    const odd = rows.findIndex((row) => row.length !== first.length);
    if (odd >= 0)
      throw new ShapeError(`DataFrame: row ${odd} has ${rows[odd]?.length} values, row 0 has ${first.length}`);
    return named(names, first.length).map((name, c) =>
      columnFrom(
        name,
        rows.map((row) => row[c]),
      ),
    );
  }
  if (typeof first === "object" && first !== null) {
    const rows = data as readonly Readonly<Record<string, Cell>>[];
    const keys = names ?? [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return keys.map((name) =>
      columnFrom(
        name,
        rows.map((row) => row[name]),
      ),
    );
  }
  return named(names, 1).map((name) => columnFrom(name, data as readonly Cell[]));
}

/** One read of the tensor a column: (rows, columns), or one column. */
function tensorColumns(tensor: Tensor, names: readonly string[] | undefined): Column[] {
  if (tensor.ndim !== 1 && tensor.ndim !== 2) {
    throw new ShapeError(
      `DataFrame: a tensor of shape (${tensor.shape.join(", ")}); a table has one or two dimensions`,
    );
  }
  const flat = tensor.detach();
  const table = flat.ndim === 1 ? flat.unsqueeze(1) : flat;
  return named(names, table.shape[1] as number).map((name, c) => {
    const column = columnFrom(name, table.select(1, c).toTypedArray());
    return tensor.dtype === "bool" ? { ...column, dtype: "bool" } : column;
  });
}

function named(names: readonly string[] | undefined, count: number): readonly string[] {
  if (names !== undefined && names.length !== count) {
    throw new ShapeError(`DataFrame: ${names.length} names for ${count} columns`);
  }
  return names ?? Array.from({ length: count }, (_, i) => String(i));
}

function checkWhole(what: string, name: string, value: unknown): void {
  if (!Number.isSafeInteger(value)) refuseArgument(what, name, value, "a whole number");
}

function checkSlice(name: string, slice: unknown): void {
  checkObject("DataFrame.iloc", name, slice, "a place, a list of places, or { start, stop }");
  for (const [key, place] of Object.entries(slice as Slice)) {
    if (key !== "start" && key !== "stop")
      throw new ValueError(`DataFrame.iloc: ${name} has ${key}; it has start and stop`);
    if (place !== undefined) checkWhole("DataFrame.iloc", `${name}.${key}`, place);
  }
}

function range({ start, stop }: Slice, length: number): Int32Array {
  const place = (at: number) => Math.min(length, Math.max(0, at < 0 ? at + length : at));
  const from = place(start ?? 0);
  return Int32Array.from({ length: Math.max(0, place(stop ?? length) - from) }, (_, i) => from + i);
}

const isMissing = ({ data, valid }: Column, row: number): boolean =>
  (valid !== null && valid[row] === 0) || Number.isNaN(data[row]);

/**
 * A CSV file as a table: pandas's `read_csv`. A column's dtype is inferred from the first 2,048 lines: int32 where all
 * its numbers are such integers, int64 where they are integers that float64 would round, float64 for others, bool for
 * true and false, and strings. A column without a name is called "Unnamed: 0" by its place. Nothing between separators,
 * "NA" and "null" are missing values.
 *
 * Errors: DataError when the file is absent; FormatError, with line and column, for a line of another length and for a
 * value that is not of the column's dtype.
 *
 * @example
 * const df = await readCsv("mnist_train.csv", { header: null });
 */
export async function readCsv(path: string, options: ReadCsvOptions = {}): Promise<DataFrame> {
  const plan = await planCsv("readCsv", path, options);
  const { columns, length, rounded } = await readPlan("readCsv", plan);
  if (rounded.length === 0) return frame(columns, length);
  const dtype = { ...(options.dtype as Record<string, ColumnDType> | undefined) };
  for (const name of rounded) dtype[name] = "int64";
  try {
    const exact = await readPlan("readCsv", await planCsv("readCsv", path, { ...options, dtype }));
    return frame(exact.columns, exact.length);
  } catch (error) {
    // Not all of them are whole, or they are larger than int64, too.
    if (error instanceof FormatError) return frame(columns, length);
    throw error;
  }
}

/** A Parquet file as a table. Errors: DataError when it is absent, FormatError when it is damaged. */
export async function readParquet(path: string): Promise<DataFrame> {
  const { columns, length } = await readOther("readParquet", path, "read_parquet");
  return frame(columns, length);
}

/**
 * A file of JSON lines, an object a line, as a table. Nested values stay JSON text.
 *
 * Errors: DataError when it is absent, FormatError when a line is not JSON, naming it.
 */
export async function readJsonLines(path: string): Promise<DataFrame> {
  const { columns, length } = await readOther("readJsonLines", path, "read_json", ", format='newline_delimited'");
  return frame(columns, length);
}

/**
 * The library's own object: DuckDB's connection (`DuckDBConnection` of `@duckdb/node-api`) to the database in memory
 * that tables are read through, for all that is not here.
 */
export const duckdb = (): Promise<object> => engine.connection();
