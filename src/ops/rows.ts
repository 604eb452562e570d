/**
 * Operations over rows: an expression with reductions over some dimensions, giving one number a row (sum, argmax), or as
 * many as went in (softmax, layer norm), or both. The pieces that reductions, softmax, norms and losses are made of.
 */
import * as k from "../kernel/expr.js";
import type { Expr, ValueType } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { type BodyStore, emptyTensor, LoopFamily, viewAt } from "./core.js";
import { computeType, type DType } from "./dtype.js";
import { contiguousStrides, numelOf, type Shape, sameShape } from "./shape.js";

export interface RowOutput {
  readonly per: "row" | "element";
  readonly value: Expr;
}

/** What is computed of the operands (already in the compute type) and the scalars. */
export type RowBody = (args: readonly Expr[], scalars: readonly Expr[]) => readonly RowOutput[];

export interface RowCall {
  readonly inputs: readonly Tensor[];
  /** The index space; inputs broadcast to it. */
  readonly shape: Shape;
  /** Dimensions folded, ascending. */
  readonly dims: readonly number[];
  readonly compute: DType;
  /** The dtype of each output. */
  readonly outputs: readonly DType[];
  readonly scalars?: readonly number[];
  /** Row outputs keep the folded dimensions with size 1. */
  readonly keepdim?: boolean;
}

export class Rows {
  /** The operands of a fold of everything, all of it one row, and of up to two results. */
  private readonly whole: readonly ("full" | "row")[];
  private readonly families = new Map<ValueType, { family: LoopFamily; per: ("row" | "element")[] }>();

  /** `indexed`: the body asks for `index(axis)`: outer axes first, then the folded ones. */
  constructor(
    readonly name: string,
    private readonly arity: number,
    private readonly body: RowBody,
    private readonly scalarTypes: readonly ValueType[] = [],
    private readonly indexed = false,
  ) {
    this.whole = Array.from({ length: arity + 2 }, (_, i) => (i < arity ? "full" : "row"));
  }

  call(c: RowCall): Tensor[] {
    const compute = computeType(c.compute);
    const { family, per } = this.family(compute);
    const rank = c.shape.length;
    const folded = new Set(c.dims);
    const outerAxes: number[] = [];
    for (let a = 0; a < rank; a++) if (!folded.has(a)) outerAxes.push(a);
    const order = [...outerAxes, ...c.dims];
    const outer = outerAxes.map((a) => c.shape[a] as number);
    const inner = c.dims.map((a) => c.shape[a] as number);
    const device = (c.inputs[0] as Tensor).device;
    const views: number[][] = c.inputs.map((t) => {
      const s = viewAt(t, c.shape);
      return order.map((a) => s[a] as number);
    });
    const outs = per.map((p, i) => {
      const dtype = c.outputs[i] as DType;
      if (p === "element") {
        const out = emptyTensor(c.shape, dtype, device);
        const s = contiguousStrides(c.shape);
        views.push(order.map((a) => s[a] as number));
        return out;
      }
      const kept = c.keepdim === true ? c.shape.map((n, a) => (folded.has(a) ? 1 : n)) : outer;
      views.push([...contiguousStrides(outer), ...inner.map(() => 0)]);
      return emptyTensor(kept, dtype, device);
    });
    if (numelOf(outer) === 0) return outs;
    if (c.dims.length === 0) {
      // Nothing is folded: a fold over an axis of size 1 is the same.
      for (const v of views) v.push(0);
      family.run([...c.inputs, ...outs], c.inputs.length, outer, [1], views, c.scalars ?? []);
      return outs;
    }
    family.run([...c.inputs, ...outs], c.inputs.length, outer, inner, views, c.scalars ?? []);
    return outs;
  }

  /**
   * The same where the layout is known beforehand: `outer` rows of `inner` numbers, each operand (inputs, then outputs) either
   * whole ("full"), one a column ("column") or one a row ("row"), and all of them contiguous.
   */
  callFlat(
    operands: readonly Tensor[],
    inputs: number,
    layout: readonly ("full" | "column" | "row")[],
    outer: number,
    inner: number,
    compute: DType,
    scalars: readonly number[] = noScalars,
  ): void {
    for (let i = 0; i < operands.length; i++) {
      const l = layout[i];
      firstStrides[i] = l === "full" ? inner : l === "row" ? 1 : 0;
      secondStrides[i] = l === "row" ? 0 : 1;
    }
    const { family } = this.family(computeType(compute));
    family.runPlane("rows", operands, inputs, outer, inner, firstStrides, secondStrides, scalars);
  }

  /**
   * Folds down the columns: `count` results of `folded` numbers each, in every output. The inputs are contiguous along the
   * outputs ("full"), or one number for all of them ("row").
   */
  callColumns(
    operands: readonly Tensor[],
    inputs: number,
    layout: readonly ("full" | "row")[],
    count: number,
    folded: number,
    compute: DType,
  ): void {
    for (let i = 0; i < operands.length; i++) {
      const output = i >= inputs;
      const full = layout[i] === "full";
      firstStrides[i] = output || full ? 1 : 0;
      secondStrides[i] = output ? 0 : full ? count : 1;
    }
    const { family } = this.family(computeType(compute));
    family.runPlane("columns", operands, inputs, count, folded, firstStrides, secondStrides, noScalars);
  }

  /**
   * Everything folded, into one number for each dtype of `outputs`, without a search for a layout where the operands are contiguous
   * and of one shape.
   */
  foldAll(
    inputs: readonly Tensor[],
    shape: Shape,
    compute: DType,
    outputs: readonly DType[],
    scalars: readonly number[] = noScalars,
  ): Tensor[] {
    let flat = true;
    for (let i = 0; i < inputs.length; i++) {
      const t = inputs[i] as Tensor;
      if (!t.contiguous_ || !sameShape(t.shape, shape)) flat = false;
    }
    if (!flat) {
      const dims = shape.map((_, i) => i);
      return this.call({ inputs, shape, dims, compute, outputs, scalars });
    }
    const { device } = inputs[0] as Tensor;
    const outs = outputs.map((dtype) => emptyTensor([], dtype, device));
    this.callFlat([...inputs, ...outs], inputs.length, this.whole, 1, numelOf(shape), compute, scalars);
    return outs;
  }

  private family(compute: ValueType): { family: LoopFamily; per: ("row" | "element")[] } {
    const known = this.families.get(compute);
    if (known !== undefined) return known;
    const types = this.scalarTypes.map((t) => (t === "f32" ? compute : t));
    const build = (load: (i: number) => Expr, scalar: (i: number) => Expr): BodyStore[] => {
      const args = Array.from({ length: this.arity }, (_, i) => k.cast(load(i), compute));
      return this.body(
        args,
        types.map((_, i) => scalar(i)),
      ).map((o) => ({ value: o.value, per: o.per }));
    };
    const probe = build(
      (i) => k.load(i, compute),
      (i) => k.scalar(i, types[i] as ValueType),
    );
    const made = {
      family: new LoopFamily({ name: this.name, build }, types, this.indexed),
      per: probe.map((s) => s.per),
    };
    this.families.set(compute, made);
    return made;
  }
}

const noScalars: readonly number[] = [];
/** Scratch for the strides of a launch. */
const firstStrides: number[] = [];
const secondStrides: number[] = [];
