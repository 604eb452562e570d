/**
 * How one primitive operation becomes WebAssembly instructions, on single values and on 128-bit vectors: arithmetic,
 * conversions, folds. Loops, memory and the order of evaluation are left to `loop.ts` and `memory.ts`.
 *
 * Single values: bool is an i32 of 0 or 1. Vectors: 4 lanes where every type has 32 bits, otherwise 2. Of two lanes, 32-bit
 * types take the lower half of the register and leave the upper half undefined. bool is a mask, each lane all ones or all zeros,
 * so that `select` is one `v128.bitselect`; of two lanes it is 64 bits wide.
 */
import type { Expr, Fold, ValueType } from "../ir.js";
import type { FunctionBuilder, WasmType } from "./encoder.js";

export type Lanes = 1 | 2 | 4;

export const wasmTypeOf: Readonly<Record<ValueType, WasmType>> = {
  f32: "f32",
  f64: "f64",
  i32: "i32",
  i64: "i64",
  u32: "i32",
  bool: "i32",
};

export const localTypeOf = (type: ValueType, lanes: Lanes): WasmType => (lanes === 1 ? wasmTypeOf[type] : "v128");

/** The vector interpretation that `type` has where there are `lanes` of it. */
export function shapeOf(type: ValueType, lanes: Lanes): "f32x4" | "i32x4" | "f64x2" | "i64x2" {
  if (lanes === 4) return type === "f32" ? "f32x4" : "i32x4";
  if (type === "f32") return "f32x4";
  if (type === "f64") return "f64x2";
  return is32(type) ? "i32x4" : "i64x2";
}

const is32 = (type: ValueType): boolean => type === "f32" || type === "i32" || type === "u32";

/** Brings 64-bit lanes into the lower half: i64 → i32, and a mask of two lanes for values of 32 bits. */
function narrow(f: FunctionBuilder): void {
  const v = f.local("v128");
  f.tee(v).get(v).shuffle([0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);
}

const isFloat = (type: ValueType): boolean => type === "f32" || type === "f64";

export function pushConstant(f: FunctionBuilder, value: number | bigint, type: ValueType, lanes: Lanes): void {
  if (lanes === 1) {
    if (type === "f32") f.f32(Number(value));
    else if (type === "f64") f.f64(Number(value));
    else if (type === "i64") f.i64(BigInt(value));
    else f.i32(Number(value) | 0);
    return;
  }
  const bytes = new DataView(new ArrayBuffer(16));
  for (let k = 0; k < lanes; k++) {
    if (type === "f32") bytes.setFloat32(4 * k, Number(value), true);
    else if (type === "f64") bytes.setFloat64(8 * k, Number(value), true);
    else if (type === "i64") bytes.setBigInt64(8 * k, BigInt(value), true);
    else {
      const word = type === "bool" ? (Number(value) === 0 ? 0 : -1) : Number(value) | 0;
      if (lanes === 4 || type !== "bool") bytes.setInt32(4 * k, word, true);
      else bytes.setBigInt64(8 * k, BigInt(word), true);
    }
  }
  f.v128(new Uint8Array(bytes.buffer));
}

/** Turns the single value on the stack into a vector of equal lanes. */
/** Reads number `slot` of the argument block that the local `block` points to, as its type, into a local. */
export function readArgument(f: FunctionBuilder, block: number, slot: number, type: ValueType | "address"): number {
  const local = f.local(type === "address" ? "i32" : wasmTypeOf[type]);
  f.get(block).memory("f64.load", 8 * slot);
  if (type === "address" || type === "u32") f.op("i32.trunc_sat_f64_u");
  else if (type === "i32") f.op("i32.trunc_sat_f64_s");
  else if (type === "i64") f.op("i64.trunc_sat_f64_s");
  else if (type === "f32") f.op("f32.demote_f64");
  else if (type === "bool") f.f64(0).op("f64.ne");
  f.set(local);
  return local;
}

export function splat(f: FunctionBuilder, type: ValueType, lanes: Lanes): void {
  if (lanes === 1) return;
  if (type === "bool") {
    const t = f.local("i32");
    f.set(t).i32(0).get(t).op("i32.sub");
    if (lanes === 2) f.op("i64.extend_i32_s");
  }
  f.op(`${shapeOf(type, lanes)}.splat`);
}

/** Takes lane `lane` of the vector on the stack, as a single value. */
export function extract(f: FunctionBuilder, type: ValueType, lanes: Lanes, lane: number): void {
  f.lane(`${shapeOf(type, lanes)}.extract_lane`, lane);
  if (type !== "bool") return;
  if (lanes === 2) f.op("i32.wrap_i64");
  f.i32(1).op("i32.and");
}

/** Puts the single value on the stack into lane `lane` of the vector below it. */
export function replace(f: FunctionBuilder, type: ValueType, lanes: Lanes, lane: number): void {
  if (type === "bool") {
    const t = f.local("i32");
    f.set(t).i32(0).get(t).op("i32.sub");
    if (lanes === 2) f.op("i64.extend_i32_s");
  }
  f.lane(`${shapeOf(type, lanes)}.replace_lane`, lane);
}

/** Pushes argument `i` of the operation at hand. */
type Argument = (i: number) => void;

/** Computes `e` (no leaf, no fold) from its arguments and leaves it on the stack. */
export function emit(f: FunctionBuilder, e: Expr, lanes: Lanes, arg: Argument): void {
  if (lanes === 1) emitScalar(f, e, arg);
  else if (!emitVector(f, e, lanes, arg)) emitLanewise(f, e, lanes, arg);
}

/** What has no vector form: lane by lane. */
function emitLanewise(f: FunctionBuilder, e: Expr, lanes: Lanes, arg: Argument): void {
  const inputs = e.args.map((_, i) => {
    const t = f.local("v128");
    arg(i);
    f.set(t);
    return t;
  });
  const out = f.local("v128");
  for (let k = 0; k < lanes; k++) {
    f.get(out);
    emitScalar(f, e, (i) => {
      f.get(inputs[i]);
      extract(f, e.args[i].type, lanes, k);
    });
    replace(f, e.type, lanes, k);
    f.set(out);
  }
  f.get(out);
}

function emitScalar(f: FunctionBuilder, e: Expr, arg: Argument): void {
  const type = e.args[0].type;
  const w = wasmTypeOf[type];
  const all = (): void => e.args.forEach((_, i) => arg(i));
  const signed = type === "u32" || type === "bool" ? "_u" : "_s";
  switch (e.op) {
    case "neg":
      if (isFloat(type)) {
        arg(0);
        f.op(`${w}.neg`);
      } else {
        pushConstant(f, 0, type, 1);
        arg(0);
        f.op(`${w}.sub`);
      }
      return;
    case "abs":
      arg(0);
      if (isFloat(type)) f.op(`${w}.abs`);
      else if (type === "i32" || type === "i64") {
        // (x ^ s) − s where s is the sign spread over the word
        const x = f.local(w);
        const s = f.local(w);
        f.tee(x);
        pushConstant(f, type === "i32" ? 31 : 63, type, 1);
        f.op(`${w}.shr_s`).tee(s).get(x).op(`${w}.xor`).get(s).op(`${w}.sub`);
      }
      return;
    case "sqrt":
    case "floor":
    case "ceil":
    case "trunc":
      arg(0);
      if (isFloat(type)) f.op(`${w}.${e.op}`);
      return;
    case "round":
      arg(0);
      if (isFloat(type)) f.op(`${w}.nearest`);
      return;
    case "not":
      arg(0);
      if (type === "bool") f.op("i32.eqz");
      else {
        pushConstant(f, -1, type, 1);
        f.op(`${w}.xor`);
      }
      return;
    case "cast":
      arg(0);
      castScalar(f, type, e.type);
      return;
    case "bitcast":
      arg(0);
      if (w !== wasmTypeOf[e.type]) f.op(`${wasmTypeOf[e.type]}.reinterpret_${w}`);
      return;
    case "div":
    case "rem":
      if (isFloat(type)) {
        all();
        f.op(`${w}.div`);
      } else divide(f, e, arg);
      return;
    case "mulhi":
      arg(0);
      f.op("i64.extend_i32_u");
      arg(1);
      f.op("i64.extend_i32_u").op("i64.mul").i64(32n).op("i64.shr_u").op("i32.wrap_i64");
      return;
    case "madd": {
      // only vectors have it, and an element must have the same digits in a vector and alone
      const vector = type === "f32" ? "f32x4" : "f64x2";
      for (const i of [0, 1, 2]) {
        arg(i);
        f.op(`${vector}.splat`);
      }
      f.op(`${vector}.relaxed_madd`).lane(`${vector}.extract_lane`, 0);
      return;
    }
    case "shr":
      all();
      f.op(`${w}.shr${signed}`);
      return;
    case "lt":
    case "le":
      all();
      f.op(isFloat(type) ? `${w}.${e.op}` : `${w}.${e.op}${signed}`);
      return;
    case "select":
      arg(1);
      arg(2);
      arg(0);
      f.op("select");
      return;
    default: // add sub mul and or xor shl eq ne: the instruction has the operation's name
      all();
      f.op(`${w}.${e.op}`);
  }
}

/** Integer division that traps nowhere: x / 0 = x % 0 = 0, and −2³¹ / −1 wraps. */
function divide(f: FunctionBuilder, e: Expr, arg: Argument): void {
  const type = e.type;
  const w = wasmTypeOf[type];
  const suffix = type === "u32" || type === "bool" ? "_u" : "_s";
  const divisor = e.args[1];
  if (divisor.op === "const" && Number(divisor.value) !== 0 && Number(divisor.value) !== -1) {
    arg(0);
    arg(1);
    f.op(`${w}.${e.op}${suffix}`);
    return;
  }
  const a = f.local(w);
  const b = f.local(w);
  arg(0);
  f.set(a);
  arg(1);
  f.set(b);
  const one = (): void => pushConstant(f, 1, type, 1);
  const zero = (): void => pushConstant(f, 0, type, 1);
  if (e.op === "rem") {
    // x % 1 = 0 is what x % 0 shall be
    f.get(a);
    one();
    f.get(b).get(b).op(`${w}.eqz`).op("select").op(`${w}.rem${suffix}`);
    return;
  }
  // divide by 1 where the divisor is 0 or (signed) −1, and mend the quotient afterwards
  f.get(a);
  one();
  f.get(b).get(b);
  if (suffix === "_s") {
    one();
    f.op(`${w}.add`);
    one();
    f.op(`${w}.le_u`);
  } else f.op(`${w}.eqz`);
  f.op("select").op(`${w}.div${suffix}`);
  if (suffix === "_s") {
    const q = f.local(w);
    f.set(q);
    zero();
    f.get(a).op(`${w}.sub`).get(q).get(b);
    pushConstant(f, -1, type, 1);
    f.op(`${w}.eq`).op("select");
  }
  const q = f.local(w);
  f.set(q);
  zero();
  f.get(q).get(b).op(`${w}.eqz`).op("select");
}

function castScalar(f: FunctionBuilder, from: ValueType, to: ValueType): void {
  if (from === to) return;
  const w = wasmTypeOf[from];
  const v = wasmTypeOf[to];
  const sign = (type: ValueType): string => (type === "u32" || type === "bool" ? "u" : "s");
  if (to === "bool") {
    pushConstant(f, 0, from, 1);
    f.op(`${w}.ne`);
  } else if (isFloat(to)) {
    if (!isFloat(from)) f.op(`${v}.convert_${w}_${sign(from)}`);
    else f.op(to === "f64" ? "f64.promote_f32" : "f32.demote_f64");
  } else if (isFloat(from)) f.op(`${v}.trunc_sat_${w}_${sign(to)}`);
  else if (w === v) return;
  else if (v === "i64") f.op(`i64.extend_i32_${sign(from)}`);
  else f.op("i32.wrap_i64");
}

/** False where WebAssembly has no vector instruction for it (then nothing was written). */
function emitVector(f: FunctionBuilder, e: Expr, lanes: Lanes, arg: Argument): boolean {
  const type = e.args[0].type;
  const v = shapeOf(type, lanes);
  const float = isFloat(type);
  const all = (): void => e.args.forEach((_, i) => arg(i));
  switch (e.op) {
    case "neg":
    case "abs":
      arg(0);
      if (e.op === "neg" || (type !== "u32" && type !== "bool")) f.op(`${v}.${e.op}`);
      return true;
    case "sqrt":
    case "floor":
    case "ceil":
    case "trunc":
    case "round":
      arg(0);
      if (float) f.op(`${v}.${e.op === "round" ? "nearest" : e.op}`);
      return true;
    case "not":
      arg(0);
      f.op("v128.not");
      return true;
    case "bitcast":
      arg(0);
      return true;
    case "cast":
      return castVector(f, type, e.type, lanes, arg);
    case "div":
      if (!float) return false;
      break;
    case "rem":
      return false;
    case "mulhi": {
      const a = f.local("v128");
      const b = f.local("v128");
      arg(0);
      f.set(a);
      arg(1);
      f.set(b);
      f.get(a).get(b).op("i64x2.extmul_low_i32x4_u").get(a).get(b).op("i64x2.extmul_high_i32x4_u");
      f.shuffle([4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31]);
      return true;
    }
    case "madd":
      all();
      f.op(`${v}.relaxed_madd`);
      return true;
    case "and":
    case "or":
    case "xor":
      all();
      f.op(`v128.${e.op}`);
      return true;
    case "shl":
    case "shr": {
      // the vector shifts take one count for all lanes
      const count = e.args[1];
      if (count.op !== "const") return false;
      arg(0);
      f.i32(Number(count.value) & (type === "i64" ? 63 : 31));
      f.op(e.op === "shl" ? `${v}.shl` : `${v}.shr${type === "u32" ? "_u" : "_s"}`);
      return true;
    }
    case "lt":
    case "le":
      // a mask that is true is −1, the greater one when unsigned
      if (lanes === 2 && type === "bool") return false;
      all();
      f.op(float ? `${v}.${e.op}` : `${v}.${e.op}${type === "u32" || type === "bool" ? "_u" : "_s"}`);
      if (lanes === 2 && is32(type)) f.op("i64x2.extend_low_i32x4_s");
      return true;
    case "eq":
    case "ne":
      all();
      f.op(`${v}.${e.op}`);
      if (lanes === 2 && is32(type)) f.op("i64x2.extend_low_i32x4_s");
      return true;
    case "select":
      if (pseudoExtreme(f, e, arg, lanes)) return true;
      arg(1);
      arg(2);
      arg(0);
      if (lanes === 2 && is32(e.type)) narrow(f);
      f.op("v128.bitselect");
      return true;
    default:
      break;
  }
  all();
  f.op(`${v}.${e.op}`);
  return true;
}

/** a < b ? a : b and b < a ? a : b of floats are one instruction (whatever NaN does). False where it is neither. */
function pseudoExtreme(f: FunctionBuilder, e: Expr, arg: Argument, lanes: Lanes): boolean {
  const [condition, yes, no] = e.args;
  if (!isFloat(e.type) || condition.op !== "lt") return false;
  const [a, b] = condition.args;
  // pmin(x, y) is y < x ? y : x, and pmax(x, y) is x < y ? y : x
  const name = yes === a && no === b ? "pmin" : yes === b && belowWith(no, a, b) ? "pmax" : null;
  if (name === null) return false;
  arg(2);
  arg(1);
  f.op(`${shapeOf(e.type, lanes)}.${name}`);
  return true;
}

/** Whether `e` is below `low` exactly where `x` is: it is x, or x capped by a constant that is no less. */
function belowWith(e: Expr, x: Expr, low: Expr): boolean {
  if (e === x) return true;
  if (e.op !== "select" || e.args[0].op !== "lt" || low.op !== "const") return false;
  const [condition, cap, rest] = e.args;
  return (
    condition.args[0] === cap && condition.args[1] === x && rest === x && cap.op === "const" && low.value <= cap.value
  );
}

function castVector(f: FunctionBuilder, from: ValueType, to: ValueType, lanes: Lanes, arg: Argument): boolean {
  const integers = !isFloat(from) && !isFloat(to);
  // i64 ↔ float has no instruction
  if ((from === "i64" && isFloat(to)) || (to === "i64" && isFloat(from))) return false;
  arg(0);
  if (from === to) return true;
  const sign = from === "u32" || to === "u32" ? "u" : "s";
  if (to === "bool") {
    pushConstant(f, 0, from, lanes);
    f.op(`${shapeOf(from, lanes)}.ne`);
    if (lanes === 2 && is32(from)) f.op("i64x2.extend_low_i32x4_s");
  } else if (from === "bool") {
    if (lanes === 2 && is32(to)) narrow(f);
    pushConstant(f, 1, to, lanes);
    f.op("v128.and");
  } else if (integers) {
    if (to === "i64") f.op(`i64x2.extend_low_i32x4_${sign}`);
    else if (from === "i64") narrow(f);
  } else if (isFloat(from) && isFloat(to)) f.op(to === "f64" ? "f64x2.promote_low_f32x4" : "f32x4.demote_f64x2_zero");
  else if (to === "f64") f.op(`f64x2.convert_low_i32x4_${sign}`);
  else if (from === "f64") f.op(`i32x4.trunc_sat_f64x2_${sign}_zero`);
  else if (to === "f32") f.op(`f32x4.convert_i32x4_${sign}`);
  else f.op(`i32x4.trunc_sat_f32x4_${sign}`);
  return true;
}

/** What folding nothing gives. */
export function identityOf(fold: Fold, type: ValueType): number | bigint {
  if (fold === "sum") return 0;
  if (fold === "prod") return 1;
  const max = fold === "max";
  switch (type) {
    case "i32":
      return max ? -0x80000000 : 0x7fffffff;
    case "i64":
      return max ? -(1n << 63n) : (1n << 63n) - 1n;
    case "u32":
      return max ? 0 : 0xffffffff;
    case "bool":
      return max ? 0 : 1;
    default:
      return max ? -Infinity : Infinity;
  }
}

/** Folds the two values on the stack into one. NaN wins `max` and `min`. On bool, sum and max are "any", prod and min "all". */
export function emitFold(f: FunctionBuilder, fold: Fold, type: ValueType, lanes: Lanes): void {
  const w = lanes === 1 ? wasmTypeOf[type] : shapeOf(type, lanes);
  if (type === "bool") f.op(`${lanes === 1 ? "i32" : "v128"}.${fold === "sum" || fold === "max" ? "or" : "and"}`);
  else if (fold === "sum") f.op(`${w}.add`);
  else if (fold === "prod") f.op(`${w}.mul`);
  else if (isFloat(type)) f.op(`${w}.${fold}`);
  else if (lanes > 1 && type !== "i64") f.op(`${w}.${fold}_${type === "u32" ? "u" : "s"}`);
  else {
    const a = f.local(localTypeOf(type, lanes));
    const b = f.local(localTypeOf(type, lanes));
    f.set(b).tee(a).get(b).get(a).get(b);
    f.op(`${w}.${fold === "max" ? "gt" : "lt"}${type === "u32" ? "_u" : "_s"}`);
    f.op(lanes === 1 ? "select" : "v128.bitselect");
  }
}
