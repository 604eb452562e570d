/**
 * The update rules of optimisers as kernels: one launch a parameter reads and writes everything once, in place. A gradient
 * that is an outer product is computed inside the update.
 */
import { type Gradient, isDeferred } from "../autograd/tape.js";
import * as k from "../kernel/expr.js";
import type { Expr, ValueType } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { hostNumbers } from "./capture.js";
import { type BodyStore, LoopFamily } from "./core.js";
import { computeType } from "./dtype.js";
import { OuterProduct } from "./outer.js";

type Rule = (state: readonly Expr[], settings: readonly Expr[]) => readonly Expr[];

/** Tensors [parameter, …state] and a gradient; writes the parameter and the state. */
class Update {
  private readonly families = { plain: new Map<ValueType, LoopFamily>(), outer: new Map<ValueType, LoopFamily>() };
  constructor(
    private readonly name: string,
    private readonly inputs: number,
    private readonly settings: number,
    private readonly rule: Rule,
  ) {}

  run(parameter: Tensor, gradient: Gradient, state: readonly Tensor[], numbers: () => readonly number[]): void {
    const n = parameter.numel();
    if (n === 0) {
      numbers();
      return;
    }
    let flat = parameter.contiguous_;
    parameter.buffer.version += 1;
    for (let i = 0; i < state.length; i++) {
      const t = state[i] as Tensor;
      if (!t.contiguous_) flat = false;
      t.buffer.version += 1;
    }
    if (gradient instanceof OuterProduct && flat) {
      this.runOuter(parameter, gradient, state, hostNumbers(numbers));
      return;
    }
    if (isDeferred(gradient)) gradient = gradient.compute();
    const settings = hostNumbers(numbers);
    const operands = [parameter, gradient];
    for (let i = 0; i < state.length; i++) operands.push(state[i] as Tensor);
    operands.push(parameter);
    for (let i = 0; i < state.length; i++) operands.push(state[i] as Tensor);
    const family = this.family(parameter, false);
    if (flat && gradient.contiguous_) family.runFlat(operands, this.inputs, n, settings);
    else {
      const strides = operands.map((t) => t.strides);
      family.run(operands, this.inputs, parameter.shape, [], strides, settings);
    }
  }

  private runOuter(
    parameter: Tensor,
    { column, row, shape }: OuterProduct,
    state: readonly Tensor[],
    settings: readonly number[],
  ): void {
    const [m, n] = shape as [number, number];
    const operands = [parameter, column, row, ...state, parameter, ...state];
    const down = operands.map((_, i) => (i === 1 ? 1 : i === 2 ? 0 : n));
    const along = operands.map((_, i) => (i === 1 ? 0 : 1));
    this.family(parameter, true).runPlane("map", operands, this.inputs + 1, m, n, down, along, settings);
  }

  private family(parameter: Tensor, outer: boolean): LoopFamily {
    const type = computeType(parameter.dtype);
    const families = outer ? this.families.outer : this.families.plain;
    let family = families.get(type);
    if (family === undefined) {
      const build = (load: (i: number) => Expr, scalar: (i: number) => Expr): BodyStore[] => {
        const operands = Array.from({ length: this.inputs + (outer ? 1 : 0) }, (_, i) => k.cast(load(i), type));
        if (outer) operands.splice(1, 2, k.mul(operands[1] as Expr, operands[2] as Expr));
        const settings = Array.from({ length: this.settings }, (_, i) => scalar(i));
        return this.rule(operands, settings).map((value) => ({ value, per: "element" }));
      };
      family = new LoopFamily({ name: this.name, build }, new Array<ValueType>(this.settings).fill(type));
      families.set(type, family);
    }
    return family;
  }
}

const at = (s: readonly Expr[], i: number): Expr => s[i] as Expr;
/** Settings: gradient sign, weight decay, lr; with momentum also its factor, the gradient's weight, the look-ahead. */
const decayed = (s: readonly Expr[], c: readonly Expr[]): Expr =>
  k.add(k.mul(at(s, 1), at(c, 0)), k.mul(at(s, 0), at(c, 1)));
const sgdPlain = new Update("sgd", 2, 1, (s, c) => [k.sub(at(s, 0), k.mul(at(c, 0), at(s, 1)))]);
const sgd = new Update("sgd", 2, 3, (s, c) => [k.sub(at(s, 0), k.mul(at(c, 2), decayed(s, c)))]);
const momentumRule =
  (nesterov: boolean) =>
  (s: readonly Expr[], c: readonly Expr[]): readonly Expr[] => {
    const g = decayed(s, c);
    const buffer = k.add(k.mul(at(s, 2), at(c, 3)), k.mul(g, at(c, 4)));
    const direction = nesterov ? k.add(g, k.mul(buffer, at(c, 5))) : buffer;
    return [k.sub(at(s, 0), k.mul(at(c, 2), direction)), buffer];
  };
const sgdMomentum = new Update("sgdMomentum", 3, 5, momentumRule(false));
const sgdNesterov = new Update("sgdNesterov", 3, 6, momentumRule(true));

const common = (o: Readonly<SgdSettings>): number[] => [o.maximize ? -1 : 1, o.weightDecay, o.lr];

export interface SgdSettings {
  lr: number;
  momentum: number;
  dampening: number;
  weightDecay: number;
  nesterov: boolean;
  maximize: boolean;
}

/**
 * https://pytorch.org/docs/stable/generated/torch.optim.SGD.html — `first`: the momentum buffer holds nothing yet.
 */
export function sgdStep(
  parameter: Tensor,
  gradient: Gradient,
  buffer: Tensor | null,
  o: Readonly<SgdSettings>,
  first: boolean,
): void {
  if (buffer === null) {
    if (o.weightDecay === 0 && !o.maximize) sgdPlain.run(parameter, gradient, [], () => [o.lr]);
    else sgd.run(parameter, gradient, [], () => common(o));
    return;
  }
  // The first step copies the gradient into the buffer.
  const settings = (): number[] => [...common(o), first ? 0 : o.momentum, first ? 1 : 1 - o.dampening];
  if (o.nesterov) sgdNesterov.run(parameter, gradient, [buffer], () => [...settings(), o.momentum]);
  else sgdMomentum.run(parameter, gradient, [buffer], settings);
}

/** Settings: gradient sign, L2 decay, decoupled keep factor, β1, 1−β1, β2, 1−β2, step size lr/(1−β1ᵗ), 1/√(1−β2ᵗ), ε. */
const adamRule =
  (amsgrad: boolean) =>
  (s: readonly Expr[], c: readonly Expr[]): readonly Expr[] => {
    const [sign, decay, keep, b1, c1, b2, c2, step, root, eps] = Array.from({ length: 10 }, (_, i) => at(c, i)) as [
      Expr,
      Expr,
      Expr,
      Expr,
      Expr,
      Expr,
      Expr,
      Expr,
      Expr,
      Expr,
    ];
    const p = k.mul(at(s, 0), keep);
    const g = k.add(k.mul(at(s, 1), sign), k.mul(at(s, 0), decay));
    const m = k.add(k.mul(at(s, 2), b1), k.mul(g, c1));
    const v = k.add(k.mul(at(s, 3), b2), k.mul(k.square(g), c2));
    const largest = amsgrad ? k.max(at(s, 4), v) : v;
    const denominator = k.add(k.mul(k.sqrt(largest), root), eps);
    const next = k.sub(p, k.div(k.mul(step, m), denominator));
    return amsgrad ? [next, m, v, largest] : [next, m, v];
  };
const adam = new Update("adam", 4, 10, adamRule(false));
const adamAms = new Update("adamAmsgrad", 5, 10, adamRule(true));

export interface AdamSettings {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** Counted from 1; the caller counts. */
  step: number;
  /** AdamW: decay the parameter, not the gradient. */
  decoupled: boolean;
  maximize: boolean;
}

/** https://pytorch.org/docs/stable/generated/torch.optim.Adam.html — `next` gives the settings of each step anew. */
export function adamStep(
  parameter: Tensor,
  gradient: Gradient,
  expAvg: Tensor,
  expAvgSq: Tensor,
  maxExpAvgSq: Tensor | null,
  next: () => AdamSettings,
): void {
  const settings = (): number[] => adamNumbers(next());
  if (maxExpAvgSq === null) adam.run(parameter, gradient, [expAvg, expAvgSq], settings);
  else adamAms.run(parameter, gradient, [expAvg, expAvgSq, maxExpAvgSq], settings);
}

/** 1 − βᵗ, kept from one parameter to the next: they mostly are at the same step. */
class BiasCorrection {
  private beta = 0;
  private step = 0;
  private value = 0;
  at(beta: number, step: number): number {
    if (beta !== this.beta || step !== this.step) {
      this.beta = beta;
      this.step = step;
      this.value = 1 - beta ** step;
    }
    return this.value;
  }
}
const firstCorrection = new BiasCorrection();
const secondCorrection = new BiasCorrection();

function adamNumbers(o: AdamSettings): number[] {
  return [
    o.maximize ? -1 : 1,
    o.decoupled ? 0 : o.weightDecay,
    o.decoupled ? 1 - o.lr * o.weightDecay : 1,
    o.beta1,
    1 - o.beta1,
    o.beta2,
    1 - o.beta2,
    o.lr / firstCorrection.at(o.beta1, o.step),
    1 / Math.sqrt(secondCorrection.at(o.beta2, o.step)),
    o.eps,
  ];
}
