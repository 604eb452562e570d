/** Chains of views against the naive reference: values, shared memory, and gradients through the chain. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { Tensor } from "../../src/index.js";
import * as torch from "../../src/index.js";
import { engines, onEngine } from "../ops/cases.js";
import { counted, flatten, fromFlat, indices, type Reference, read, shapes, size } from "./reference.js";

/** One step of a chain, chosen by numbers in 0 … 1, so that every choice fits the shape it meets. */
interface Step {
  name:
    | "transpose"
    | "permute"
    | "slice"
    | "select"
    | "unsqueeze"
    | "squeeze"
    | "reshape"
    | "expand"
    | "narrow"
    | "flip";
  choices: number[];
}
const step: fc.Arbitrary<Step> = fc.record({
  name: fc.constantFrom(
    "transpose",
    "permute",
    "slice",
    "select",
    "unsqueeze",
    "squeeze",
    "reshape",
    "expand",
    "narrow",
    "flip",
  ),
  choices: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 4, maxLength: 4 }),
});

const pick = (choice: number, n: number): number => Math.floor(choice * n);

function apply({ name, choices }: Step, t: Tensor, r: Reference): [Tensor, Reference] {
  const { shape } = r;
  const n = shape.length;
  const [c0, c1, c2, c3] = choices as [number, number, number, number];
  const d = pick(c0, n);
  const e = pick(c1, n);
  const put = (index: readonly number[], at: number, value: number): number[] =>
    index.map((v, i) => (i === at ? value : v));
  const length = shape[d] ?? 0;
  switch (name) {
    case "transpose": {
      if (n === 0) return [t, r];
      const swap = <T>(list: readonly T[]): T[] => list.map((v, i) => (i === d ? list[e]! : i === e ? list[d]! : v));
      return [t.transpose(d - n, e), { shape: swap(shape), at: (i) => r.at(swap(i)) }];
    }
    case "permute": {
      const order = shape.map((_, i) => i).sort((a, b) => choices[a]! - choices[b]!);
      return [
        t.permute(order),
        { shape: order.map((o) => shape[o]!), at: (i) => r.at(shape.map((_, dim) => i[order.indexOf(dim)]!)) },
      ];
    }
    case "slice": {
      if (n === 0) return [t, r];
      const start = pick(c1, length + 1);
      const end = start + pick(c2, length - start + 1);
      const by = 1 + pick(c3, 3);
      const count = Math.max(0, Math.ceil((end - start) / by));
      return [
        t.slice(d, start, end, by),
        { shape: put(shape, d, count), at: (i) => r.at(put(i, d, start + i[d]! * by)) },
      ];
    }
    case "narrow": {
      if (n === 0) return [t, r];
      const start = pick(c1, length + 1);
      const count = pick(c2, length - start + 1);
      return [t.narrow(d, start, count), { shape: put(shape, d, count), at: (i) => r.at(put(i, d, start + i[d]!)) }];
    }
    case "select": {
      if (length === 0) return [t, r];
      const index = pick(c1, length);
      return [
        t.select(d, index - length),
        { shape: shape.filter((_, i) => i !== d), at: (i) => r.at([...i.slice(0, d), index, ...i.slice(d)]) },
      ];
    }
    case "unsqueeze": {
      if (n === 5) return [t, r];
      const at = pick(c0, n + 1);
      return [
        t.unsqueeze(at),
        { shape: [...shape.slice(0, at), 1, ...shape.slice(at)], at: (i) => r.at(i.filter((_, k) => k !== at)) },
      ];
    }
    case "squeeze": {
      const kept = shape.map((s) => s !== 1);
      return [
        t.squeeze(),
        {
          shape: shape.filter((_, i) => kept[i]),
          at: (i) => {
            let k = 0;
            return r.at(kept.map((keep) => (keep ? i[k++]! : 0)));
          },
        },
      ];
    }
    case "reshape": {
      const total = size(shape);
      if (total === 0) return [t, r];
      const divisors = Array.from({ length: total }, (_, i) => i + 1).filter((k) => total % k === 0);
      const first = divisors[pick(c1, divisors.length)]!;
      return [t.reshape([first, -1]), fromFlat([first, total / first], flatten(r))];
    }
    case "expand": {
      if (n === 5 || size(shape) > 200) return [t, r];
      const grown = [2, ...shape.map((s, i) => (s === 1 && choices[i % 4]! > 0.5 ? 3 : s))];
      return [t.expand(grown), { shape: grown, at: (i) => r.at(shape.map((s, k) => (s === 1 ? 0 : i[k + 1]!))) }];
    }
    case "flip":
      if (n === 0) return [t, r];
      return [t.flip([d]), { shape, at: (i) => r.at(put(i, d, length - 1 - i[d]!)) }];
  }
}

function chain(steps: readonly Step[], t: Tensor, r: Reference): [Tensor, Reference] {
  let [tensor, reference] = [t, r];
  for (const s of steps) [tensor, reference] = apply(s, tensor, reference);
  return [tensor, reference];
}

const chains = fc.array(step, { minLength: 1, maxLength: 5 });

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));

  it("show what the reference shows, and compute with it", () => {
    fc.assert(
      fc.property(shapes, chains, (shape, steps) => {
        const { tensor, reference } = counted(shape);
        const [t, r] = chain(steps, tensor, reference);
        expect(t.shape).toEqual(r.shape);
        const expected = flatten(r);
        expect(read(t)).toEqual(expected);
        expect(read(t.contiguous())).toEqual(expected);
        expect(read(t.mul(2).add(t))).toEqual(expected.map((v) => 3 * v));
        expect(t.sum().item()).toBe(expected.reduce((s, v) => s + v, 0));
        if (t.ndim > 0) {
          const sums = new Map<string, number>();
          for (const i of indices(t.shape))
            sums.set(i.slice(0, -1).join(), (sums.get(i.slice(0, -1).join()) ?? 0) + r.at(i));
          expect(read(t.sum(-1))).toEqual(indices(t.shape.slice(0, -1)).map((i) => sums.get(i.join()) ?? 0));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("pass gradients to the elements they show", () => {
    fc.assert(
      fc.property(shapes, chains, (shape, steps) => {
        const { tensor, reference } = counted(shape);
        tensor.requiresGrad_();
        const [t, r] = chain(steps, tensor, reference);
        // Every position has its own weight, so a gradient that goes astray is seen.
        const weights = Array.from({ length: size(r.shape) }, (_, i) => (i % 7) + 1);
        t.mul(torch.fromTypedArray(Float32Array.from(weights), r.shape))
          .sum()
          .backward();
        const expected = new Array<number>(size(shape)).fill(0);
        for (const [k, value] of flatten(r).entries()) expected[value - 1]! += weights[k]!;
        expect(read(tensor.grad ?? torch.zeros(shape))).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it("write through to what they are views of", () => {
    const sharing = new Set(["transpose", "permute", "slice", "select", "unsqueeze", "squeeze", "narrow"]);
    fc.assert(
      fc.property(shapes, chains, (shape, steps) => {
        const { tensor, reference } = counted(shape);
        const [t, r] = chain(
          steps.filter((s) => sharing.has(s.name)),
          tensor,
          reference,
        );
        const touched = new Set(flatten(r));
        t.mul_(-1);
        expect(read(tensor)).toEqual(flatten(reference).map((v) => (touched.has(v) ? -v : v)));
        t.fill_(0.5);
        expect(read(tensor)).toEqual(flatten(reference).map((v) => (touched.has(v) ? 0.5 : v)));
      }),
      { numRuns: 150 },
    );
  });
});
