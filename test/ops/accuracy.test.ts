/** Functions of float32 against their float64 form, which is compared with PyTorch's elsewhere: over all numbers, within a few ulp. */
import { describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { engines, onEngine } from "./cases.js";

/** The largest error, in ulp of the result; where nothing is said, that of a rounding. */
const functions: Readonly<Record<string, readonly [(x: torch.Tensor) => torch.Tensor, number?]>> = {
  exp: [(x) => x.exp(), 2],
  expm1: [(x) => x.expm1(), 2],
  log: [(x) => x.log(), 2],
  log1p: [(x) => x.log1p(), 2],
  log2: [(x) => x.log2(), 2],
  log10: [(x) => x.log10()],
  tanh: [(x) => x.tanh(), 2],
  sigmoid: [(x) => x.sigmoid(), 2.5],
  erf: [(x) => x.erf(), 6],
  sqrt: [(x) => x.sqrt()],
  sin: [(x) => x.sin()],
  cos: [(x) => x.cos()],
  tan: [(x) => x.tan()],
  atan: [(x) => x.atan()],
  sinh: [(x) => x.sinh()],
  asinh: [(x) => x.asinh()],
};

/** Every 4999th float32, of both signs, with ±0, ±∞ and NaN. */
const numbers = (() => {
  const magnitudes = Array.from({ length: Math.ceil(0x7f800000 / 4999) }, (_, i) => i * 4999).concat(
    0x7f800000,
    0x7fc00000,
  );
  return new Float32Array(Uint32Array.from([...magnitudes, ...magnitudes.map((u) => u + 2 ** 31)]).buffer);
})();

const ulpOf = (x: number): number => 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(x)))) - 23);

describe.each(engines)("%s", (engine) => {
  it.each(Object.entries(functions))("%s", (_, [f, limit = 0.5001]) => {
    onEngine(engine);
    const [y, exact] = torch.tidy(() => {
      const x = torch.tensor(numbers);
      return [f(x).toTypedArray(), f(x.double()).toTypedArray()] as const;
    });
    const wrong: number[][] = [];
    for (let i = 0; i < numbers.length; i++) {
      const [got, want] = [y[i] as number, exact[i] as number];
      const rounded = Math.fround(want);
      const finite = Number.isFinite(rounded) && rounded !== 0;
      // Beyond the largest number an error of an ulp is infinity, which is right from half an ulp on.
      const near = finite ? Math.abs(got - want) <= limit * ulpOf(want) : Object.is(got, rounded);
      if (!near && !(Math.abs(want) > 3.4028234e38 && Math.abs(got) > 3.4028234e38))
        wrong.push([numbers[i] as number, got, want]);
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });
});
