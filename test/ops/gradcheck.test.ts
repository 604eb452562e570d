/**
 * Every differentiable operation against finite differences in float64, on both engines: first order. Gradients of
 * gradients are checked in test/autograd/gradgrad.test.ts.
 */
import { beforeAll, describe, expect, it } from "vitest";
import type { Tensor } from "../../src/index.js";
import * as torch from "../../src/index.js";
import { base, type Case, call, engines, isFloating, load, onEngine, viewed } from "./cases.js";

/** One case an operation: the first with a gradient that is not at a kink. */
const chosen = new Map<string, Case>();
for (const file of ["unary", "binary", "reduce", "matmul", "shape", "network", "convolution"]) {
  for (const c of load<Case[]>(file)) {
    const smooth = c.grad?.some((g) => g?.length) && !/kink|bounds|ties|zero|empty|float16/.test(c.name);
    const key = file === "network" && c.args?.reduction ? `${c.op} ${c.args.reduction}` : c.op;
    if (smooth && !chosen.has(key)) chosen.set(key, c);
  }
}

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));
  for (const [name, c] of chosen) {
    it(name, () => {
      const bases = c.in.map((spec) =>
        typeof spec === "number" ? spec : base(spec, isFloating(spec.t) ? "float64" : spec.t),
      );
      const leaves = bases.filter((b, i): b is Tensor => {
        return typeof b !== "number" && isFloating(b.dtype) && (c.grad?.[i] ?? null) !== null;
      });
      for (const leaf of leaves) leaf.requiresGrad_();
      const forward = (...inputs: Tensor[]): Tensor[] => {
        const operands = c.in.map((spec, i) => {
          if (typeof spec === "number") return spec;
          const at = leaves.indexOf(bases[i] as Tensor);
          return viewed(at >= 0 ? (inputs[at] as Tensor) : (bases[i] as Tensor), spec);
        });
        // Running statistics are results without a gradient.
        return call(c.op, operands, c.args ?? {}).filter((out) => isFloating(out.dtype) && out.requiresGrad);
      };
      expect(torch.autograd.gradcheck(forward, leaves)).toBe(true);
    });
  }
});
