/** Clipping of gradients: PyTorch's numbers for every norm, on both engines, plain and compiled; bad input changes nothing. */
import { beforeAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { nn, optim, type Tensor, ValueError } from "../../src/index.js";
import { decode, difference, type Encoded, engines, load, make, onEngine, values } from "../ops/cases.js";
import { drawn } from "../ops/numbers.js";

const { clipGradNorm_, clipGradValue_ } = nn.utils;

interface NormCase {
  t: "float32" | "float64";
  normType: Encoded;
  maxNorm: Encoded;
  total: Encoded[];
  grads: Encoded[][];
}
const { norms, values: clamped } = load<{ norms: NormCase[]; values: { clipValue: number; grad: Encoded[] }[] }>(
  "clipping",
);

/** The parameters of make.py's cases. */
function parameters(t: NormCase["t"]): Tensor[] {
  return [[3, 4], [5], []].map((shape, i) => {
    const n = shape.reduce((a, b) => a * b, 1);
    const p = make(drawn(n, t, [31 + i, -1, 1]), shape, t).requiresGrad_();
    p.grad = make(drawn(n, t, [61 + i, -2, 2]), shape, t);
    return p;
  });
}

const two = (a: number, b: number): Tensor => {
  const w = torch.tensor([0, 0], { requiresGrad: true });
  w.grad = torch.tensor([a, b]);
  return w;
};

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));

  for (const { t, normType, maxNorm, total, grads } of norms) {
    it(`norm of order ${normType} to ${maxNorm}, ${t}`, () => {
      const params = [...parameters(t), torch.zeros([2], { requiresGrad: true })];
      const norm = clipGradNorm_(params.values(), Number(maxNorm), { normType: Number(normType) });
      expect(norm.shape).toEqual([]);
      expect(norm.dtype).toBe(t);
      expect(difference(values(norm), decode(total), t, t === "float32" ? 2e-6 : null)).toBe(null);
      for (const [i, expected] of grads.entries())
        expect(difference(values(params[i]!.grad!), decode(expected), t, t === "float32" ? 4e-6 : null)).toBe(null);
      expect(params.at(-1)!.grad).toBe(null);
    });
  }

  it.each(clamped)("values to $clipValue", ({ clipValue, grad }) => {
    const [p] = parameters("float32");
    clipGradValue_(p!, clipValue);
    expect(difference(values(p!.grad!), decode(grad), "float32")).toBe(null);
  });

  it("leaves small gradients as they are, to the bit", () => {
    const params = parameters("float32");
    const before = params.map((p) => p.grad!.tolist());
    clipGradNorm_(params, 1e6);
    clipGradValue_(params, 1e6);
    expect(params.map((p) => p.grad!.tolist())).toEqual(before);
  });

  it("a single tensor, no gradient at all, and gradients of several dtypes", () => {
    expect(clipGradNorm_(two(3, 4), 1).item()).toBeCloseTo(5, 6);
    expect(clipGradNorm_([], 1).tolist()).toBe(0);
    expect(clipGradNorm_([torch.zeros([2], { requiresGrad: true })], 1).tolist()).toBe(0);
    clipGradValue_([], 1);
    const wide = torch.tensor([0], { dtype: "float64", requiresGrad: true });
    wide.grad = torch.tensor([12], { dtype: "float64" });
    const narrow = two(3, 4);
    expect(clipGradNorm_([narrow, wide], 6.5).item()).toBeCloseTo(13, 6);
    expect([narrow.grad!.dtype, wide.grad!.dtype]).toEqual(["float32", "float64"]);
    expect(narrow.grad!.tolist()).toEqual([expect.closeTo(1.5, 5), expect.closeTo(2, 5)]);
    expect(wide.grad.item()).toBeCloseTo(6, 5);
  });

  it("a norm that is not finite spreads, as in PyTorch, unless it shall be an error", () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const w = two(1, wrong);
      expect(() => clipGradNorm_(w, 1, { errorIfNonfinite: true })).toThrow(
        new ValueError(`clipGradNorm_: the gradients' norm of order 2 is ${wrong}; it cannot be clipped`),
      );
      expect(w.grad!.tolist()).toEqual([1, wrong]);
      expect(clipGradNorm_(w, 1).item()).toBe(wrong);
      expect(w.grad!.tolist()).toEqual(Number.isNaN(wrong) ? [Number.NaN, Number.NaN] : [0, Number.NaN]);
    }
    const w = two(Number.NaN, -3);
    clipGradValue_(w, 1);
    expect(w.grad!.tolist()).toEqual([Number.NaN, -1]);
  });

  it("is part of a compiled step, with the eager results, bit for bit", () => {
    const run = (compiled: boolean): number[][] => {
      torch.manualSeed(1);
      const model = new nn.Sequential(new nn.Linear(200, 100), new nn.Tanh(), new nn.Linear(100, 3));
      const optimiser = new optim.Adam(model.parameters(), { lr: 0.1 });
      const plain = (x: Tensor): Tensor => {
        const loss = model.forward(x).square().sum();
        optimiser.zeroGrad();
        loss.backward();
        const norm = clipGradNorm_(model.parameters(), 0.1, { errorIfNonfinite: true });
        clipGradValue_(model.parameters(), 0.01);
        optimiser.step();
        return norm;
      };
      const step = compiled ? torch.compile(plain) : plain;
      // One row makes the first layer's gradient an outer product that is not yet computed.
      const found = [1, 1, 1, 5, 5, 5].map((rows) => step(torch.ones([rows, 200])).item());
      expect(() => step(torch.full([5, 200], Number.NaN))).toThrow("it cannot be clipped");
      return [found, ...model.parameters().map((p) => [...(p.toTypedArray() as Float32Array)])];
    };
    expect(run(true)).toEqual(run(false));
  });
});

it("what cannot bound anything is refused", () => {
  const w = two(3, 4);
  for (const bad of [-1, Number.NaN]) {
    expect(() => clipGradNorm_(w, bad)).toThrow(`clipGradNorm_: maxNorm is ${bad}; it must be 0 or more`);
    expect(() => clipGradValue_(w, bad)).toThrow(`clipGradValue_: clipValue is ${bad}; it must be 0 or more`);
  }
  expect(() => clipGradNorm_(w, 1, { normType: Number.NaN })).toThrow(ValueError);
  expect(w.grad!.tolist()).toEqual([3, 4]);
});
