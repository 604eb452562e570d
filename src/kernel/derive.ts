/**
 * Differentiates expressions: reverse-mode over the expression graph itself, so that every element-wise operation,
 * however it was composed, has a gradient kernel, and that gradient has one of its own.
 */
import * as k from "./expr.js";
import { type Expr, select } from "./expr.js";
import { topological } from "./ir.js";

type Rule = (g: Expr, x: Expr, y: Expr, out: Expr) => readonly (Expr | null)[];

const twoOverRootPi = 2 / Math.sqrt(Math.PI);

const rules: Partial<Record<Expr["op"], Rule>> = {
  neg: (g) => [k.neg(g)],
  abs: (g, x) => [k.mul(g, k.sign(x))],
  sqrt: (g, _x, _y, out) => [k.div(g, k.mul(out, 2))],
  cast: (g, x) => [k.isFloat(x.type) ? k.cast(g, x.type) : null],
  add: (g) => [g, g],
  sub: (g) => [g, k.neg(g)],
  mul: (g, x, y) => [k.mul(g, y), k.mul(g, x)],
  div: (g, _x, y, out) => [k.div(g, y), k.neg(k.div(k.mul(g, out), y))],
  select: (g, condition) => [null, select(condition, g, 0), select(condition, 0, g)],
  exp: (g, _x, _y, out) => [k.mul(g, out)],
  expm1: (g, _x, _y, out) => [k.mul(g, k.add(out, 1))],
  log: (g, x) => [k.div(g, x)],
  log1p: (g, x) => [k.div(g, k.add(x, 1))],
  sin: (g, x) => [k.mul(g, k.cos(x))],
  cos: (g, x) => [k.neg(k.mul(g, k.sin(x)))],
  tan: (g, _x, _y, out) => [k.mul(g, k.add(k.square(out), 1))],
  asin: (g, x) => [k.div(g, k.sqrt(k.sub(1, k.square(x))))],
  acos: (g, x) => [k.neg(k.div(g, k.sqrt(k.sub(1, k.square(x)))))],
  atan: (g, x) => [k.div(g, k.add(k.square(x), 1))],
  atan2: (g, y, x) => {
    const d = k.add(k.square(x), k.square(y));
    return [k.div(k.mul(g, x), d), k.neg(k.div(k.mul(g, y), d))];
  },
  sinh: (g, x) => [k.mul(g, k.cosh(x))],
  cosh: (g, x) => [k.mul(g, k.sinh(x))],
  tanh: (g, _x, _y, out) => [k.mul(g, k.sub(1, k.square(out)))],
  asinh: (g, x) => [k.div(g, k.sqrt(k.add(k.square(x), 1)))],
  acosh: (g, x) => [k.div(g, k.sqrt(k.sub(k.square(x), 1)))],
  atanh: (g, x) => [k.div(g, k.sub(1, k.square(x)))],
  erf: (g, x) => [k.mul(g, k.mul(k.exp(k.neg(k.square(x))), twoOverRootPi))],
  sigmoid: (g, _x, _y, out) => [k.mul(g, k.mul(out, k.sub(1, out)))],
  pow: (g, x, y, out) => {
    const byBase = select(k.eq(y, 0), 0, k.mul(g, k.mul(y, k.pow(x, k.sub(y, 1)))));
    const byExponent = k.mul(g, select(k.eq(x, 0), select(k.ge(y, 0), 0, k.log(x)), k.mul(out, k.log(x))));
    return [byBase, byExponent];
  },
  // Ties share the gradient, as in PyTorch.
  max: (g, x, y) => extremumRule(g, x, y, k.lt(y, x), k.lt(x, y)),
  min: (g, x, y) => extremumRule(g, x, y, k.lt(x, y), k.lt(y, x)),
};

function extremumRule(g: Expr, _x: Expr, _y: Expr, first: Expr, second: Expr): Expr[] {
  const half = k.mul(g, 0.5);
  return [select(first, g, select(second, 0, half)), select(second, g, select(first, 0, half))];
}

/**
 * The adjoints of `outputs` with respect to loads: given dL/d(output i) = `seeds[i]`, gives dL/d(load slot) for each of
 * `slots`, or null where the outputs do not depend on it smoothly.
 */
export function derive(outputs: readonly Expr[], seeds: readonly Expr[], slots: readonly number[]): (Expr | null)[] {
  const adjoint = new Map<Expr, Expr>();
  const accumulate = (e: Expr, g: Expr): void => {
    const known = adjoint.get(e);
    adjoint.set(e, known === undefined ? g : k.add(known, g));
  };
  outputs.forEach((o, i) => {
    accumulate(o, seeds[i] as Expr);
  });
  const bySlot = new Map<number, Expr>();
  for (const e of topological(outputs).reverse()) {
    const g = adjoint.get(e);
    if (g === undefined || !k.isFloat(e.type)) continue;
    if (e.op === "load") {
      const known = bySlot.get(e.slot);
      bySlot.set(e.slot, known === undefined ? g : k.add(known, g));
      continue;
    }
    const rule = rules[e.op];
    if (rule === undefined) continue;
    const [x, y] = e.args;
    rule(g, x as Expr, y as Expr, e).forEach((part, i) => {
      const target = e.args[i] as Expr;
      if (part !== null && k.isFloat(target.type)) accumulate(target, part);
    });
  }
  return slots.map((slot) => bySlot.get(slot) ?? null);
}
