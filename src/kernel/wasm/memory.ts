/**
 * Moves elements between linear memory and registers: widening loads and narrowing stores of each storage type, for one
 * element or for a vector of them along a kernel's vector axis. Which pointer to use, and when, is `loop.ts`'s business.
 *
 * Halves are not converted here: a float16 or bfloat16 element is its 16 bits in an i32.
 */
import { bytesOf, type Operand, type StorageType, type ValueType } from "../ir.js";
import type { FunctionBuilder } from "./encoder.js";
import { extract, type Lanes, localTypeOf, pushConstant, replace, splat } from "./ops.js";

const loads: Readonly<Record<StorageType, string>> = {
  float32: "f32.load",
  float64: "f64.load",
  float16: "i32.load16_u",
  bfloat16: "i32.load16_u",
  int64: "i64.load",
  int32: "i32.load",
  int16: "i32.load16_s",
  int8: "i32.load8_s",
  uint8: "i32.load8_u",
  bool: "i32.load8_u",
};

const stores: Readonly<Record<StorageType, string>> = {
  float32: "f32.store",
  float64: "f64.store",
  float16: "i32.store16",
  bfloat16: "i32.store16",
  int64: "i64.store",
  int32: "i32.store",
  int16: "i32.store16",
  int8: "i32.store8",
  uint8: "i32.store8",
  bool: "i32.store8",
};

/** Where an operand stands: a pointer, and the bytes from one index of the vector axis to the next (a local) if strided. */
export interface Cursor {
  readonly operand: Operand;
  readonly pointer: number;
  readonly stride: number;
}

/** Loads one element from the address on the stack. */
export function loadScalar(f: FunctionBuilder, storage: StorageType, offset = 0): void {
  f.memory(loads[storage], offset);
  if (storage === "bool") f.i32(0).op("i32.ne");
}

/** Stores the value on the stack at the address below it. */
export function storeScalar(f: FunctionBuilder, storage: StorageType, offset = 0): void {
  f.memory(stores[storage], offset);
}

/** Pushes the address of the element `k` places along the vector axis; gives the offset still to be added. */
function pushAddress(f: FunctionBuilder, at: Cursor, k: number): number {
  f.get(at.pointer);
  if (at.operand.step === "unit") return k * bytesOf[at.operand.type];
  if (at.operand.step === "strided" && k > 0) f.get(at.stride).i32(k).op("i32.mul").op("i32.add");
  return 0;
}

/** Loads the elements `first` … `first + lanes − 1` along the vector axis. */
export function loadElements(f: FunctionBuilder, at: Cursor, type: ValueType, lanes: Lanes, first: number): void {
  const storage = at.operand.type;
  const step = at.operand.step;
  const size = bytesOf[storage];
  if (lanes === 1 || step === "uniform") {
    loadScalar(f, storage, pushAddress(f, at, first));
    splat(f, type, lanes);
    return;
  }
  if (step === "unit" && size * lanes === 16) {
    f.memory("v128.load", pushAddress(f, at, first));
    return;
  }
  if (step === "unit" && size === 4) {
    f.memory("v128.load64_zero", pushAddress(f, at, first));
    return;
  }
  if (step === "unit" && lanes === 4) {
    const sign = storage === "int8" || storage === "int16" ? "s" : "u";
    f.memory(size === 2 ? "v128.load64_zero" : "v128.load32_zero", pushAddress(f, at, first));
    if (size === 1) f.op(`i16x8.extend_low_i8x16_${sign}`);
    f.op(`i32x4.extend_low_i16x8_${sign}`);
    if (storage === "bool") {
      pushConstant(f, 0, "i32", 4);
      f.op("i32x4.ne");
    }
    return;
  }
  for (let k = 0; k < lanes; k++) {
    loadScalar(f, storage, pushAddress(f, at, first + k));
    if (k === 0) splat(f, type, lanes);
    else replace(f, type, lanes, k);
  }
}

/** Stores what `value` pushes at the elements `first` … `first + lanes − 1` along the vector axis. */
export function storeElements(
  f: FunctionBuilder,
  at: Cursor,
  type: ValueType,
  lanes: Lanes,
  first: number,
  value: () => void,
): void {
  const storage = at.operand.type;
  const size = bytesOf[storage];
  if (lanes === 1) {
    const offset = pushAddress(f, at, first);
    value();
    storeScalar(f, storage, offset);
    return;
  }
  if (at.operand.step === "unit" && size * lanes === 16) {
    const offset = pushAddress(f, at, first);
    value();
    f.memory("v128.store", offset);
    return;
  }
  if (at.operand.step === "unit" && size === 4) {
    const offset = pushAddress(f, at, first);
    value();
    f.memory("v128.store64_lane", offset, 0);
    return;
  }
  if (at.operand.step === "unit" && lanes === 4) {
    const offset = pushAddress(f, at, first);
    value();
    if (storage === "bool") {
      pushConstant(f, 1, "i32", 4);
      f.op("v128.and");
    }
    const v = f.local("v128");
    const low = size === 2 ? [0, 1, 4, 5, 8, 9, 12, 13] : [0, 4, 8, 12];
    f.tee(v)
      .get(v)
      .shuffle([...low, ...new Array<number>(16 - low.length).fill(0)]);
    f.memory(size === 2 ? "v128.store64_lane" : "v128.store32_lane", offset, 0);
    return;
  }
  const v = f.local(localTypeOf(type, lanes));
  value();
  f.set(v);
  for (let k = 0; k < lanes; k++) {
    const offset = pushAddress(f, at, first + k);
    f.get(v);
    extract(f, type, lanes, k);
    storeScalar(f, storage, offset);
  }
}
