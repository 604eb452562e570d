/** Grows columns from the pieces that a reader hands over, checking that values fit the dtype that was asked for. */
import type { TypedArray } from "../../ops/creation.js";
import { allocate, type Column, type ColumnDType } from "./column.js";

/** What a column of a file shall become; "number" is int32 while all values are such integers, and else float64. */
export type Target = ColumnDType | "number";

/** Some rows of one column as they were read. */
export interface Piece {
  readonly data: TypedArray | readonly string[];
  readonly valid: Uint8Array | null;
}

/** A value that the column's dtype does not hold. */
export class Misfit extends Error {
  constructor(
    readonly column: string,
    readonly row: number,
    readonly value: string,
    readonly dtype: ColumnDType,
  ) {
    super(`${value} is not ${dtype}`);
  }
}

const isRounded = (value: number | bigint): boolean => Number.isInteger(value) && !Number.isSafeInteger(value);

/** Targets that hold whole numbers, and may be read as such where a file has no others. */
export const integers: ReadonlySet<Target> = new Set(["number", "uint8", "int8", "int16", "int32"]);
const whole = /^\s*[+-]?\d+\s*$/;

export class ColumnBuilder {
  readonly name: string;
  readonly #narrow: boolean;
  readonly #rows: number;
  #dtype: ColumnDType;
  #data: TypedArray | string[];
  #valid: Uint8Array | null = null;
  #length = 0;
  /** Whether a whole number was larger than float64 holds to the last digit. */
  rounded = false;

  /** `rows` is about how many there will be. */
  constructor(name: string, target: Target, rows: number) {
    this.name = name;
    this.#narrow = target === "number";
    this.#dtype = target === "number" ? "int32" : target;
    this.#data = this.#dtype === "string" ? [] : allocate(this.#dtype, 0);
    this.#rows = Math.max(2048, rows);
  }

  append({ data, valid }: Piece, count: number): void {
    if (this.#length === 0) this.#begin(data);
    this.#reserve(this.#length + count);
    if (valid !== null && this.#valid === null)
      this.#valid = enlarged(new Uint8Array(this.#length).fill(1), Math.max(this.#data.length, this.#length + count));
    this.#valid?.set(valid ?? new Uint8Array(count).fill(1), this.#length);
    if (Array.isArray(this.#data)) {
      for (let i = 0; i < count; i++) this.#data.push(data[i] as string);
    } else if (this.#dtype === "int64" && typeof data[0] === "string")
      this.#parse(data as readonly string[], valid, count);
    else this.#copy(data as TypedArray, valid, count);
    this.#length += count;
  }

  /** Room for all of it, in as few bytes as what comes first. */
  #begin(data: Piece["data"]): void {
    if (this.#dtype === "string") return;
    const small = this.#narrow && (data instanceof Uint8Array || data instanceof Int16Array);
    this.#data = small
      ? new (data.constructor as Int16ArrayConstructor)(this.#rows)
      : allocate(this.#dtype, this.#rows);
  }

  #copy(data: TypedArray, valid: Uint8Array | null, count: number): void {
    const at = this.#length;
    if (data.constructor === this.#data.constructor) {
      (this.#data as Int32Array).set(data as Int32Array, at);
      if (this.#narrow && this.#dtype === "float64" && !this.rounded) this.rounded = data.some(isRounded);
    } else {
      const to = this.#data as Int32Array;
      for (let i = 0; i < count; i++) {
        const value = data[i] as number;
        to[at + i] = value;
        if (to[at + i] === value || (valid !== null && valid[i] === 0)) continue;
        if (!this.#narrow) throw new Misfit(this.name, at + i, String(value), this.#dtype);
        this.#widen(data, valid, count);
        return;
      }
    }
    if (valid !== null && (this.#dtype === "float32" || this.#dtype === "float64")) {
      for (let i = 0; i < count; i++) if (valid[i] === 0) (this.#data as Float64Array)[at + i] = Number.NaN;
    }
  }

  /** int64 is read as text: the reader would round fractions. */
  #parse(data: readonly string[], valid: Uint8Array | null, count: number): void {
    const to = this.#data as BigInt64Array;
    for (let i = 0; i < count; i++) {
      if (valid !== null && valid[i] === 0) continue;
      const text = data[i] as string;
      const value = whole.test(text) ? BigInt(text.trim().replace(/^\+/, "")) : null;
      if (value === null || BigInt.asIntN(64, value) !== value) {
        throw new Misfit(this.name, this.#length + i, JSON.stringify(text), "int64");
      }
      to[this.#length + i] = value;
    }
  }

  #widen(data: TypedArray, valid: Uint8Array | null, count: number): void {
    const wide = new Float64Array(this.#data.length);
    const before = this.#data as Int32Array;
    for (let i = 0; i < this.#length; i++) wide[i] = this.#valid?.[i] === 0 ? Number.NaN : (before[i] as number);
    this.#data = wide;
    this.#dtype = "float64";
    this.#copy(data, valid, count);
  }

  #reserve(length: number): void {
    if (Array.isArray(this.#data) || length <= this.#data.length) {
      if (this.#valid !== null && this.#valid.length < length) this.#valid = enlarged(this.#valid, length * 2);
      return;
    }
    const capacity = Math.ceil(length * 1.5);
    const larger = new (this.#data.constructor as Int32ArrayConstructor)(capacity);
    larger.set(this.#data as Int32Array);
    this.#data = larger;
    if (this.#valid !== null) this.#valid = enlarged(this.#valid, capacity);
  }

  finish(): Column {
    // Little room that is left is less than a copy.
    const full = Array.isArray(this.#data) || this.#length < this.#data.length * 0.9 ? "slice" : "subarray";
    const data = (this.#data as Int32Array)[full](0, this.#length) as TypedArray | string[];
    const column = { name: this.name, dtype: this.#dtype, data, valid: this.#valid?.slice(0, this.#length) ?? null };
    this.#data = [];
    return column;
  }
}

function enlarged(bytes: Uint8Array, length: number): Uint8Array {
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}
