/** Initialisation: distributions have PyTorch's moments and bounds. */
import { describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { nn, ShapeError, type Tensor, ValueError } from "../../src/index.js";
import { load } from "../ops/cases.js";

interface Fixture {
  gains: [nn.init.Nonlinearity, number | null, number][];
  distributions: {
    name: string;
    args: never[];
    shape: number[];
    mean: number;
    std: number;
    min: number;
    max: number;
  }[];
}
const { gains, distributions } = load<Fixture>("init");
const { init } = nn;

describe("init", () => {
  it.each(gains)("calculateGain(%s, %s)", (name, param, gain) => {
    expect(init.calculateGain(name, param ?? undefined)).toBeCloseTo(gain, 12);
  });

  for (const { name, args, shape, mean, std, min, max } of distributions) {
    it(name, () => {
      torch.manualSeed(3);
      const [fn] = name.split(" ") as [keyof typeof init];
      let t: Tensor;
      if (name.startsWith("Linear.")) t = new nn.Linear(args[0]!, args[1]!)[name.slice(7) as "weight"];
      else t = (init[fn] as (tensor: Tensor, ...args: never[]) => Tensor)(torch.empty(shape), ...args);
      const error = 5 * (std / Math.sqrt(t.numel()));
      expect(Math.abs(t.mean().item() - mean)).toBeLessThan(2 * error);
      expect(Math.abs(t.std().item() / std - 1)).toBeLessThan(t.numel() < 1000 ? 0.15 : 0.02);
      // Bounds of uniform distributions are sharp, those of normal ones are not.
      if (/niform|trunc|Linear/.test(name)) {
        const width = max - min;
        expect(t.min().item()).toBeGreaterThan(min - 0.02 * width);
        expect(t.max().item()).toBeLessThan(max + 0.02 * width);
      }
    });
  }

  it("fills with constants", () => {
    const t = torch.empty([2, 3]);
    expect(init.ones_(t)).toBe(t);
    expect(t.sum().item()).toBe(6);
    expect(init.zeros_(t).sum().item()).toBe(0);
    expect(init.constant_(t, 0.5).sum().item()).toBe(3);
    expect(init.eye_(t).tolist()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ]);
  });

  it("makes orthonormal rows or columns", () => {
    for (const shape of [
      [3, 5],
      [5, 3],
      [2, 3, 2],
    ]) {
      const w = init.orthogonal_(torch.empty(shape)).flatten(1);
      const product = w.shape[0]! < w.shape[1]! ? w.matmul(w.t()) : w.t().matmul(w);
      expect(product.allclose(torch.eye(product.shape[0]!), { atol: 1e-5 })).toBe(true);
    }
  });

  it("stays within the bounds far from the mean", () => {
    const t = init.truncNormal_(torch.empty([500]), 0, 1, 1, 3);
    expect(t.min().item()).toBeGreaterThanOrEqual(1);
    expect(t.max().item()).toBeLessThanOrEqual(3);
  });

  it("changes parameters without recording", () => {
    const p = new nn.Parameter(torch.empty([2, 2]));
    expect(init.normal_(p)).toBe(p);
    expect(p.isLeaf && p.requiresGrad).toBe(true);
  });

  it("draws from a generator", () => {
    const draw = () =>
      init.normal_(torch.empty([4]), 0, 1, { generator: new torch.Generator().manualSeed(9) }).tolist();
    expect(draw()).toEqual(draw());
  });

  it("checks shapes and names", () => {
    expect(() => init.xavierNormal_(torch.empty([3]))).toThrow(ShapeError);
    expect(() => init.eye_(torch.empty([3]))).toThrow(ShapeError);
    expect(() => init.truncNormal_(torch.empty([3]), 0, 1, 2, 1)).toThrow(ValueError);
    expect(() => init.kaimingNormal_(torch.empty([3, 3]), { mode: "fan_in" as "fanIn" })).toThrow(ValueError);
  });
});
