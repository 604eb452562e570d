/**
 * Element-wise operations: an expression of the operands, and a gradient that is derived from it (or written beside it where
 * a better form is known). One entry gives broadcasting, promotion, strides, in-place forms and gradients of any order.
 */
import { record, records } from "../autograd/tape.js";
import { AutogradError, DTypeError, ShapeError } from "../errors.js";
import { derive } from "../kernel/derive.js";
import * as k from "../kernel/expr.js";
import { type Expr, rewrite, topological, type ValueType } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { type BodyStore, deviceOf, emptyTensor, LoopFamily, viewAt } from "./core.js";
import { computeType, type DType, isFloating, promoteNumber, promoteTypes, toFloating } from "./dtype.js";
import { broadcast, numelOf, type Shape, sameShape, show } from "./shape.js";

export type Operand = Tensor | number;

/** Sums a gradient back to the shape its tensor had before broadcasting. Set by the reductions, which stand above. */
let sumTo: (g: Tensor, shape: Shape) => Tensor;
export function setSumTo(f: typeof sumTo): void {
  sumTo = f;
}

/**
 * How dtypes meet:
 * - `same`: the promoted dtype in and out (add, mul, maximum);
 * - `float`: integers become the default float (exp, div, sigmoid);
 * - `compare`: promoted in, bool out;
 * - `logical`: anything as bool in, bool out;
 * - `integer`: integers and bool only, promoted in and out.
 */
export type Kind = "same" | "float" | "compare" | "logical" | "integer";

export interface ElementwiseOptions {
  kind?: Kind;
  /** Trailing operands that are settings, not data: plain numbers that need no gradient and do not promote. */
  settings?: number;
  /** Gradient to operand `i` given (g, operands, result); default: derived. Null: none flows. */
  gradient?: ((g: Expr, args: readonly Expr[], out: Expr) => readonly (Expr | null)[]) | "none";
  /** Refuses dtypes. */
  rejects?: (d: DType) => string | null;
}

export class Elementwise {
  private readonly kind: Kind;
  private readonly settings: number;
  /** Kernel families by what the layout does not tell: compute type, and which operands are plain numbers. */
  private readonly families: LoopFamily[] = [];
  /** Gradients by operand and compute type. */
  private readonly gradients: (Gradient | null)[] = [];

  constructor(
    readonly name: string,
    readonly arity: number,
    readonly expression: (...args: Expr[]) => Expr,
    private readonly options: ElementwiseOptions = {},
  ) {
    this.kind = options.kind ?? "same";
    this.settings = options.settings ?? 0;
  }

  /** The dtype computed in, and the result's. */
  private types(inputs: readonly Operand[]): [DType, DType] {
    let d: DType | null = null;
    const data = this.arity - this.settings;
    // Tensors without dimensions raise the kind but not the width, as numbers do.
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < data; i++) {
        const t = inputs[i];
        if (typeof t !== "object") continue;
        const first = t.shape.length > 0;
        if (first !== (pass === 0)) continue;
        if (d === null) d = t.dtype;
        else if (pass === 0 || raises(d, t.dtype)) d = promoteTypes(d, t.dtype);
      }
    }
    for (let i = 0; i < data; i++) {
      const v = inputs[i];
      if (typeof v === "number") d = promoteNumber(d as DType, v);
    }
    const joined = d as DType;
    const complaint = this.options.rejects?.(joined) ?? null;
    if (complaint !== null) throw new DTypeError(`${this.name}: ${complaint}`);
    switch (this.kind) {
      case "same":
        return [joined, joined];
      case "float": {
        const f = toFloating(joined);
        return [f, f];
      }
      case "compare":
        return [joined, "bool"];
      case "logical":
        return ["bool", "bool"];
      case "integer":
        if (isFloating(joined)) throw new DTypeError(`${this.name}: needs integers or bool, not ${joined}`);
        return [joined, joined];
    }
  }

  call(...inputs: Operand[]): Tensor {
    const [compute, out] = this.types(inputs);
    return this.apply(inputs, compute, out);
  }

  /** With dtypes given: what gradients use, which compute in their forward operation's type. */
  apply(inputs: readonly Operand[], compute: DType, outType: DType): Tensor {
    const out = this.launch(inputs, compute, outType, null);
    if (isFloating(outType) && records(inputs)) this.tape(inputs, out, compute);
    return out;
  }

  /** Writes into `target`, which is also the first operand. */
  inPlace(...inputs: Operand[]): Tensor {
    const target = inputs[0] as Tensor;
    const [compute, out] = this.types(inputs);
    if (!canHold(target.dtype, out)) {
      throw new DTypeError(`${this.name}_: the result is ${out}, which a ${target.dtype} tensor cannot hold`);
    }
    target.checkWritable(this.name);
    const recorded = records(inputs) && isFloating(target.dtype);
    if (recorded) target.checkInPlace(this.name);
    for (let i = 1; i < inputs.length; i++) {
      const t = inputs[i];
      // An operand that shares the memory at another place would be read after it was overwritten.
      if (typeof t === "object" && t.buffer === target.buffer && t !== target) inputs[i] = t.clone();
    }
    if (!recorded) {
      this.launch(inputs, compute, target.dtype, target);
      target.buffer.version += 1;
      return target;
    }
    return target.rebase(this.name, (self) => this.apply([self, ...inputs.slice(1)], compute, target.dtype));
  }

  private launch(inputs: readonly Operand[], compute: DType, outType: DType, target: Tensor | null): Tensor {
    const device = target?.device ?? deviceOf(this.name, inputs);
    let shape: Shape | null = null;
    let flat = true;
    let pattern = 0;
    const tensors: Tensor[] = [];
    const scalars: number[] = [];
    for (let i = 0; i < inputs.length; i++) {
      const t = inputs[i] as Operand;
      if (typeof t === "number") {
        pattern |= 1 << i;
        scalars.push(t);
        continue;
      }
      tensors.push(t);
      if (shape === null) shape = t.shape;
      else if (shape !== t.shape) shape = broadcast(this.name, shape, t.shape);
    }
    const to = shape as Shape;
    if (target !== null && !sameShape(broadcast(this.name, to, target.shape), target.shape)) {
      throw new ShapeError(`${this.name}_: the result has shape ${show(to)}, which does not fit ${show(target.shape)}`);
    }
    const full = target?.shape ?? to;
    const n = numelOf(full);
    for (let i = 0; i < tensors.length; i++) {
      const t = tensors[i] as Tensor;
      const size = t.numel();
      if (!t.contiguous_ || (size !== n && size !== 1)) flat = false;
    }
    const out = target ?? emptyTensor(full, outType, device);
    if (target !== null && !target.contiguous_) flat = false;
    const family = this.family(pattern, computeType(compute));
    const count = tensors.length;
    tensors.push(out);
    if (n === 0) return out;
    if (flat) family.runFlat(tensors, count, n, scalars);
    else {
      const views = tensors.map((t) => (t === out ? t.strides : viewAt(t, full)));
      family.run(tensors, count, full, noAxes, views, scalars);
    }
    return out;
  }

  private family(pattern: number, compute: ValueType): LoopFamily {
    const key = pattern * valueTypes + codeOfValue(compute);
    let family = this.families[key];
    if (family === undefined) {
      const scalarTypes: ValueType[] = [];
      for (let i = 0; i < this.arity; i++) {
        if ((pattern & (1 << i)) !== 0) scalarTypes.push(scalarType(compute));
      }
      const build = (load: (i: number) => Expr, scalar: (i: number) => Expr): BodyStore[] => {
        let tensor = 0;
        let number = 0;
        const args = Array.from({ length: this.arity }, (_, i) =>
          k.cast((pattern & (1 << i)) !== 0 ? scalar(number++) : load(tensor++), compute),
        );
        return [{ value: this.expression(...args), per: "element" }];
      };
      family = new LoopFamily({ name: this.name, build }, scalarTypes);
      this.families[key] = family;
    }
    return family;
  }

  private tape(inputs: readonly Operand[], out: Tensor, compute: DType): void {
    if (this.options.gradient === "none") return;
    const value = computeType(compute);
    const n = inputs.length;
    const gradients = new Array<Gradient | null>(n);
    let read = 0;
    for (let i = 0; i < n; i++) {
      const t = inputs[i] as Operand;
      const g = typeof t === "object" && t.requiresGrad ? this.gradient(i, value) : null;
      gradients[i] = g;
      if (g !== null) read |= g.reads;
    }
    // Operands a gradient reads are saved; plain numbers stay as they are.
    const tensors = new Array<Tensor | null>(n);
    const saved = new Array<Tensor | null>(n + 1);
    const numbers = new Array<number | null>(n + 1);
    const metas = new Array<Meta | null>(n);
    for (let i = 0; i < n; i++) {
      const t = inputs[i] as Operand;
      const tensor = typeof t === "object" ? t : null;
      tensors[i] = tensor;
      saved[i] = (read & (1 << i)) !== 0 ? tensor : null;
      numbers[i] = typeof t === "number" ? t : null;
      metas[i] = tensor === null || gradients[i] === null ? null : { shape: tensor.shape, dtype: tensor.dtype };
    }
    saved[n] = (read & (1 << n)) !== 0 ? out : null;
    numbers[n] = null;
    record(this.name, tensors, [out], saved, (grads, node) => {
      const g = grads[0] as Tensor;
      const results = new Array<Tensor | null>(n);
      for (let i = 0; i < n; i++) {
        const meta = metas[i] as Meta | null;
        if (meta === null) {
          results[i] = null;
          continue;
        }
        const { op, needs } = gradients[i] as Gradient;
        let own: Tensor;
        if (op === null) own = g.dtype === meta.dtype ? g : g.to(meta.dtype);
        else {
          const args: Operand[] = [g];
          for (const slot of needs) args.push(numbers[slot] ?? node.input(slot));
          own = op.apply(args, compute, meta.dtype);
        }
        results[i] = sumTo(own, meta.shape);
      }
      return results;
    });
  }

  /** The gradient to operand `i` as an operation of (g, …what it needs). */
  private gradient(i: number, type: ValueType): Gradient | null {
    const key = i * valueTypes + codeOfValue(type);
    const known = this.gradients[key];
    if (known !== undefined) return known;
    const args = Array.from({ length: this.arity }, (_, j) => k.load(j, type));
    const out = this.expression(...args);
    const outSlot = this.arity;
    const gSlot = this.arity + 1;
    const g = k.load(gSlot, type);
    const written = this.options.gradient;
    let e: Expr | null;
    if (typeof written === "function") e = written(g, args, k.load(outSlot, type))[i] ?? null;
    else {
      const derived = derive([out], [g], [i])[0] ?? null;
      const cheap =
        out.op === "load" ||
        out.op === "const" ||
        (out.args.length > 0 && out.args.every((a) => a.op === "load") && arithmetic.has(out.op));
      e = derived === null || cheap ? derived : rewrite(derived, (n) => (n === out ? k.load(outSlot, type) : n));
    }
    let result: Gradient | null = null;
    if (e === g) result = { op: null, needs: [], reads: 0 };
    else if (e !== null) {
      const used = new Set(
        topological([e])
          .filter((n) => n.op === "load")
          .map((n) => n.slot),
      );
      const needs = [...used].filter((s) => s !== gSlot).sort((a, b) => a - b);
      const place = new Map<number, number>([[gSlot, 0], ...needs.map((s, j): [number, number] => [s, j + 1])]);
      const found = e;
      const op = new Elementwise(`${this.name}Backward`, needs.length + 1, (...actual) =>
        rewrite(found, (n) => {
          if (n.op !== "load") return n;
          return actual[place.get(n.slot) as number] as Expr;
        }),
      );
      result = { op, needs, reads: needs.reduce((mask, slot) => mask | (1 << slot), 0) };
    }
    this.gradients[key] = result;
    return result;
  }
}

interface Gradient {
  /** Null: the gradient passes unchanged. */
  readonly op: Elementwise | null;
  /** Operands it reads beside g; `arity` is the result. */
  readonly needs: readonly number[];
  /** The same as bits. */
  readonly reads: number;
}

/** What a gradient must become to fit its tensor. */
interface Meta {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** A number for each value type, for the keys of caches. */
const valueCodes: Readonly<Record<ValueType, number>> = { f32: 0, f64: 1, i32: 2, i64: 3, u32: 4, bool: 5 };
const codeOfValue = (v: ValueType): number => (v === "f32" ? 0 : valueCodes[v]);
const valueTypes = 6;

const noAxes: Shape = [];
const arithmetic = new Set<string>(["add", "sub", "mul", "neg"]);

/** Numbers reach integer kernels whole, and everything else in its own type. */
const scalarType = (compute: ValueType): ValueType => (compute === "bool" ? "f64" : compute);

const kindOf = (d: DType): number => (isFloating(d) ? 2 : d === "bool" ? 0 : 1);
const raises = (d: DType, by: DType): boolean => kindOf(by) > kindOf(d);

/** In-place results may narrow within a kind, but a float does not fit an integer, nor a number a bool. */
export const canHold = (target: DType, result: DType): boolean => kindOf(target) >= kindOf(result);

export function refuseInPlaceLeaf(name: string): never {
  throw new AutogradError(
    `${name}_: a leaf that requires a gradient cannot be changed in place while recording; wrap the change in torch.noGrad`,
  );
}
