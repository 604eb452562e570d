/** Broadcasting against the naive reference: shapes, values, gradients, and the refusal of shapes that do not fit. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { engines, onEngine } from "../ops/cases.js";
import { counted, flatten, indices, type Reference, read, shapes, size } from "./reference.js";

/** The rule of NumPy, or null where the shapes do not fit. */
function broadcast(a: readonly number[], b: readonly number[]): number[] | null {
  const n = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let d = 0; d < n; d++) {
    const x = a[d - (n - a.length)] ?? 1;
    const y = b[d - (n - b.length)] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return null;
    out.push(x === 1 ? y : x);
  }
  return out;
}

function seen(r: Reference, index: readonly number[]): number {
  return r.at(index.slice(index.length - r.shape.length).map((i, d) => (r.shape[d] === 1 ? 0 : i)));
}

/** Two shapes that fit: parts of one, with some sizes 1. */
const fitting = shapes.chain((shape) => {
  const part = fc
    .tuple(fc.integer({ min: 0, max: shape.length }), fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }))
    .map(([skip, ones]) => shape.slice(skip).map((n, d) => (ones[d] ? 1 : n)));
  return fc.tuple(part, part);
});

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));

  it("adds and multiplies as the reference does", () => {
    fc.assert(
      fc.property(fitting, ([left, right]) => {
        const a = counted(left);
        const b = counted(right);
        const shape = broadcast(left, right) as number[];
        const sum = a.tensor.add(b.tensor);
        expect(sum.shape).toEqual(shape);
        expect(read(sum)).toEqual(indices(shape).map((i) => seen(a.reference, i) + seen(b.reference, i)));
        const product = b.tensor.mul(a.tensor);
        expect(read(product)).toEqual(indices(shape).map((i) => seen(a.reference, i) * seen(b.reference, i)));
      }),
      { numRuns: 200 },
    );
  });

  it("folds gradients back", () => {
    fc.assert(
      fc.property(fitting, ([left, right]) => {
        const a = counted(left);
        const b = counted(right);
        const [x, y] = [a.tensor.requiresGrad_(), b.tensor.requiresGrad_()];
        x.mul(y).sum().backward();
        const shape = broadcast(left, right) as number[];
        for (const [own, other, grad] of [
          [a.reference, b.reference, x.grad],
          [b.reference, a.reference, y.grad],
        ] as const) {
          const expected = new Map<string, number>();
          for (const i of indices(shape)) {
            const key = i
              .slice(i.length - own.shape.length)
              .map((v, d) => (own.shape[d] === 1 ? 0 : v))
              .join();
            expected.set(key, (expected.get(key) ?? 0) + seen(other, i));
          }
          expect(grad?.shape).toEqual([...own.shape]);
          expect(read(grad!)).toEqual(indices(own.shape).map((i) => expected.get(i.join()) ?? 0));
        }
      }),
      { numRuns: 100 },
    );
  });

  it("refuses shapes that do not fit, naming both", () => {
    fc.assert(
      fc.property(shapes, shapes, (left, right) => {
        const expected = broadcast(left, right);
        const run = () => torch.zeros(left).add(torch.zeros(right)).shape;
        if (expected) expect(run()).toEqual(expected);
        else expect(run).toThrow(torch.ShapeError);
      }),
      { numRuns: 200 },
    );
  });

  it("expands as the reference does", () => {
    fc.assert(
      fc.property(fitting, ([left]) => {
        const { tensor, reference } = counted(left);
        const shape = [2, ...left.map((n) => (n === 1 ? 3 : n))];
        const expanded = tensor.expand(shape);
        expect(read(expanded)).toEqual(indices(shape).map((i) => seen(reference, i)));
        expect(read(expanded.contiguous())).toEqual(read(expanded));
        expect(expanded.sum().item()).toBe(
          flatten({ shape, at: (i) => seen(reference, i) }).reduce((s, v) => s + v, 0),
        );
        expect(expanded.numel()).toBe(size(shape));
      }),
      { numRuns: 100 },
    );
  });
});
