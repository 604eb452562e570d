/** A labelled list of values: a row or a column of a `DataFrame`. */
import { refuseArgument } from "../../arguments.js";
import { ValueError } from "../../errors.js";
import { fromTypedArray, type Tensor } from "../../tensor/index.js";
import { type Cell, type Column, type ColumnDType, cellOf, columnFrom, take, toTensor, wrapIndex } from "./column.js";
import { edges, padded, widestOf, written } from "./show.js";

/**
 * One row or one column of a `DataFrame`. pandas's Series, as far as notebooks need it; statistics are the tensor's.
 *
 * @example
 * const row = df.iloc(0);
 * const label = row.get(0);
 * const image = row.slice(1).values.reshape(28, 28);
 */
export class Series implements Iterable<Cell> {
  /** The column's name; the row's number, for a row. */
  readonly name: string;
  /** What each value is called: columns' names in a row, row numbers in a column. */
  readonly index: readonly string[];
  readonly #cells: Column | readonly Cell[];

  /** @internal */
  constructor(name: string, index: readonly string[], cells: Column | readonly Cell[]) {
    this.name = name;
    this.index = index;
    this.#cells = cells;
  }

  get length(): number {
    return this.index.length;
  }

  /** "object" for a row of several kinds. */
  get dtype(): ColumnDType | "object" {
    return "data" in this.#cells ? this.#cells.dtype : "object";
  }

  /** Value `place`, counted from the end where negative; null where it is missing. IndexError outside. */
  get(place: number): Cell {
    const at = wrapIndex(`Series "${this.name}"`, place, this.length);
    return "data" in this.#cells ? cellOf(this.#cells, at) : (this.#cells[at] as Cell);
  }

  /** Values `start` to before `stop`: a copy. Bounds as in Array.prototype.slice. */
  slice(start = 0, stop = this.length): Series {
    for (const [name, place] of Object.entries({ start, stop })) {
      if (!Number.isSafeInteger(place)) refuseArgument(`Series "${this.name}"`, name, place, "a whole number");
    }
    const index = this.index.slice(start, stop);
    if (!("data" in this.#cells)) return seriesOf(this.name, index, this.#cells.slice(start, stop));
    const from =
      this.index.length === 0 ? 0 : Math.min(this.length, start < 0 ? Math.max(0, this.length + start) : start);
    const rows = Int32Array.from(index, (_, i) => from + i);
    return new Series(this.name, index, take(this.#cells, rows));
  }

  /** The values as a tensor (length). ValueError for strings and where one is missing. */
  get values(): Tensor {
    const cells = this.#cells;
    if (!("data" in cells)) {
      const at = cells.findIndex((cell) => typeof cell === "string" || cell === null);
      if (at < 0) return fromTypedArray(Float64Array.from(cells, Number), [this.length]);
      const found = cells[at] === null ? "missing" : JSON.stringify(cells[at]);
      throw new ValueError(`Series "${this.name}": ${this.index[at]} is ${found}; a tensor has numbers`);
    }
    return toTensor(`Series "${this.name}"`, [cells], this.length).reshape([this.length]);
  }

  toList(): Cell[] {
    return [...this];
  }

  *[Symbol.iterator](): Iterator<Cell> {
    for (let i = 0; i < this.length; i++) yield this.get(i);
  }

  toString(): string {
    const shown = edges(this.length, 5);
    const labels = shown.map((i) => (i < 0 ? "…" : written(this.index[i] as string)));
    const width = widestOf(labels);
    const lines = shown.map((i, at) =>
      i < 0 ? "…" : `${padded(labels[at] as string, width, "right")}  ${written(this.get(i))}`,
    );
    return [...lines, `name: ${this.name}, length: ${this.length}, dtype: ${this.dtype}`].join("\n");
  }
  /** @internal */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
  /** What notebooks show. @internal */
  [Symbol.for("Jupyter.display")](): Record<string, string> {
    return { "text/plain": this.toString() };
  }
}

/** A row: one typed column where its values have one kind, else a list. */
export function seriesOf(name: string, index: readonly string[], cells: readonly Cell[]): Series {
  const one = cells.every((cell) => cell !== null && typeof cell === typeof cells[0]);
  return new Series(name, index, one ? columnFrom(name, cells) : cells);
}
