/**
 * A column: one typed array (or a list of strings) and, where values are missing, a mask. Frames and rows are made of
 * these; nothing here knows files or the library that reads them.
 */
import { checkList } from "../../arguments.js";
import { IndexError, ValueError } from "../../errors.js";
import { filled, type TypedArray } from "../../ops/creation.js";
import { type DType, promoteTypes, type Tensor } from "../../tensor/index.js";

/** Dtypes that a column can have: those of a tensor without the 16-bit floats, and strings. */
export type ColumnDType = Exclude<DType, "float16" | "bfloat16"> | "string";
/** What one cell holds. `null` is missing. Whole numbers beyond 2⁵³ are bigints. */
export type Cell = number | bigint | boolean | string | null;

export interface Column {
  readonly name: string;
  readonly dtype: ColumnDType;
  /** Bools are bytes 0 and 1; int32 may be stored in fewer bytes where its values allow. */
  readonly data: TypedArray | readonly string[];
  /** 1 where there is a value; null where nothing is missing. */
  readonly valid: Uint8Array | null;
}

const arrays = {
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

export const columnDTypes: readonly string[] = [...Object.keys(arrays), "string"];

export function allocate(dtype: Exclude<ColumnDType, "string">, length: number): TypedArray {
  return new arrays[dtype](length);
}

/** The numbers that bytes hold, in place. */
export function numbersIn(
  { buffer, byteOffset, byteLength }: Uint8Array,
  dtype: Exclude<ColumnDType, "string">,
): TypedArray {
  const Values = arrays[dtype];
  return new Values(buffer as ArrayBuffer, byteOffset, byteLength / Values.BYTES_PER_ELEMENT);
}

export function cellOf({ data, dtype, valid }: Column, row: number): Cell {
  if (valid !== null && valid[row] === 0) return null;
  const value = data[row] as number | bigint | string;
  if (dtype === "bool") return value !== 0;
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** A column of JavaScript's values, of the dtype that holds them all: `tensor`'s rules, but that whole numbers are int32. */
export function columnFrom(name: string, cells: ArrayLike<unknown>): Column {
  const typed = cells as unknown as TypedArray;
  if (typed instanceof Uint16Array) return { name, dtype: "int32", data: Int32Array.from(typed), valid: null };
  for (const dtype of ["uint8", "int8", "int16", "int32", "int64", "float32", "float64"] as const) {
    if (typed instanceof arrays[dtype]) return { name, dtype, data: typed.slice(), valid: null };
  }
  if (!ArrayBuffer.isView(cells)) checkList("DataFrame", `column ${JSON.stringify(name)}`, cells);
  const list = Array.from(cells, (cell) => cell ?? null);
  const present = list.filter((cell) => cell !== null);
  const all = (is: (cell: unknown) => boolean): boolean => present.length > 0 && present.every(is);
  const dtype: ColumnDType = all((c) => typeof c === "string")
    ? "string"
    : all((c) => typeof c === "boolean")
      ? "bool"
      : all((c) => typeof c === "bigint")
        ? "int64"
        : all((c) => typeof c === "number" && (c | 0) === c && !Object.is(c, -0))
          ? "int32"
          : "float64";
  const odd = dtype === "float64" ? present.find((cell) => typeof cell !== "number") : undefined;
  if (odd !== undefined) {
    throw new ValueError(`DataFrame: column "${name}" mixes numbers with ${JSON.stringify(odd)}, a ${typeof odd}`);
  }
  const valid = present.length === list.length ? null : Uint8Array.from(list, (cell) => (cell === null ? 0 : 1));
  if (dtype === "string") return { name, dtype, data: list.map((cell) => (cell ?? "") as string), valid };
  const data = allocate(dtype, list.length);
  const blank = dtype === "float64" ? Number.NaN : dtype === "int64" ? 0n : 0;
  for (const [i, cell] of list.entries())
    data[i] = (cell === null ? blank : dtype === "bool" ? Number(cell) : cell) as never;
  return { name, dtype, data, valid };
}

/** The rows that `rows` names, in that order. */
export function take(column: Column, rows: Int32Array): Column {
  const { data, valid, dtype } = column;
  const mask = valid === null ? null : Uint8Array.from(rows, (row) => valid[row] as number);
  if (dtype === "string") return { ...column, data: Array.from(rows, (row) => data[row] as string), valid: mask };
  const taken = allocate(dtype, rows.length);
  for (let i = 0; i < rows.length; i++) taken[i] = data[rows[i] as number] as never;
  return { ...column, data: taken, valid: mask };
}

/** The dtype that holds every column, or "string" where one is of strings. */
export function commonDType(columns: readonly Column[]): ColumnDType {
  if (columns.some(({ dtype }) => dtype === "string")) return "string";
  return columns.reduce<DType>(
    (dtype, column) => promoteTypes(dtype, column.dtype as DType),
    (columns[0]?.dtype ?? "float32") as DType,
  ) as ColumnDType;
}

/** Rows that are filled before the next column is read: their part of the result stays in the cache. */
const runRows = 1024;

/**
 * Columns side by side as a tensor (rows, columns), copied a run of each column at a time.
 *
 * Errors: ValueError for strings and for a missing value, naming its column and row.
 */
export function toTensor(what: string, columns: readonly Column[], length: number): Tensor {
  const dtype = commonDType(columns);
  for (const { name, dtype: own, valid } of columns) {
    if (own === "string") throw new ValueError(`${what}: column "${name}" is of strings; a tensor has numbers`);
    const missing = valid === null ? -1 : valid.indexOf(0);
    if (missing >= 0) {
      throw new ValueError(`${what}: column "${name}" has no value in row ${missing}; use dropna() or fillna(value)`);
    }
  }
  const width = columns.length;
  return filled([length, width], dtype as DType, (bytes) => {
    const out = numbersIn(bytes, dtype as keyof typeof arrays);
    const convert = dtype === "int64";
    for (let start = 0; start < length; start += runRows) {
      const end = Math.min(length, start + runRows);
      for (let c = 0; c < width; c++) {
        const { data, dtype: own } = columns[c] as Column;
        const first = start * width + c;
        if (convert && own !== "int64") {
          const wide = BigInt64Array.from(data.slice(start, end) as Int32Array, BigInt);
          strided(out as BigInt64Array, first, width, wide, 0, end - start);
        } else strided(out as Float64Array, first, width, data as Float64Array, start, end);
      }
    }
  });
}

/** Copies values `start` to before `end` to every `stride`-th place. */
function strided<T>(
  to: { [at: number]: T },
  first: number,
  stride: number,
  from: ArrayLike<T>,
  start: number,
  end: number,
): void {
  for (let i = start, at = first; i < end; i++, at += stride) to[at] = from[i] as T;
}

/** A place counted from the end where it is negative. */
export function wrapIndex(what: string, index: number, length: number): number {
  const wrapped = index < 0 ? index + length : index;
  if (!Number.isInteger(index) || wrapped < 0 || wrapped >= length) {
    throw new IndexError(`${what}: ${index} is not within 0 … ${length - 1}`);
  }
  return wrapped;
}
