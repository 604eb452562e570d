/** index(...) against the naive reference: numbers, slices, new dimensions, ellipses, lists, index tensors and masks. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { Index } from "../../src/index.js";
import * as torch from "../../src/index.js";
import { engines, onEngine } from "../ops/cases.js";
import { counted, flatten, indices, type Reference, read, shapes, size } from "./reference.js";

/** What an item does to one dimension: a number drops it, the rest keep the listed positions. */
interface Item {
  item: Index;
  keeps: number[] | null;
}

/** Items for the dimensions of a shape: at most one list, so that its place in the result is beyond doubt. */
function items(shape: readonly number[], choices: readonly number[], advanced: boolean): Item[] {
  let listed = false;
  return shape.map((n, d) => {
    const c = choices[d] as number;
    const all = Array.from({ length: n }, (_, i) => i);
    const kind = Math.floor(c * 6);
    const rest = c * 6 - kind;
    if (kind === 0 && n > 0) {
      const i = Math.floor(rest * n);
      return { item: rest > 0.5 ? i - n : i, keeps: null };
    }
    if (kind === 1) {
      const start = Math.floor(rest * n);
      return { item: { start }, keeps: all.slice(start) };
    }
    if (kind === 2) return { item: { start: -2, stop: n + 3 }, keeps: all.slice(-2) };
    if (kind === 3) return { item: { step: 2 }, keeps: all.filter((i) => i % 2 === 0) };
    if (kind === 4 && advanced && !listed && n > 0) {
      listed = true;
      const keeps = [n - 1, 0, Math.floor(rest * n)];
      const negative = keeps.map((i) => i - n);
      const item = rest > 0.6 ? torch.tensor(keeps, { dtype: "int64" }) : rest > 0.3 ? negative : keeps;
      return { item, keeps };
    }
    return { item: ":", keeps: all };
  });
}

function indexed(r: Reference, list: readonly Item[]): Reference {
  const kept = list.filter((x) => x.keeps !== null);
  return {
    shape: kept.map((x) => x.keeps!.length),
    at: (index) => {
      let k = 0;
      return r.at(
        list.map(({ item, keeps }, d) => {
          if (keeps !== null) return keeps[index[k++]!]!;
          const i = item as number;
          return i < 0 ? i + r.shape[d]! : i;
        }),
      );
    },
  };
}

const choices = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 4, maxLength: 4 });

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));

  it("reads", () => {
    fc.assert(
      fc.property(shapes, choices, fc.boolean(), (shape, c, trimmed) => {
        const { tensor, reference } = counted(shape);
        const list = items(shape, c, true);
        const given = list.map((x) => x.item);
        // Dimensions left out at the end are kept whole.
        while (trimmed && given.at(-1) === ":") given.pop();
        const expected = indexed(reference, list);
        const out = tensor.index(...given);
        expect(out.shape).toEqual(expected.shape);
        expect(read(out)).toEqual(flatten(expected));
      }),
      { numRuns: 300 },
    );
  });

  it("adds dimensions and stands for the rest", () => {
    fc.assert(
      fc.property(shapes, choices, (shape, c) => {
        const { tensor, reference } = counted(shape);
        const list = items(shape, c, false);
        const expected = indexed(reference, list);
        const out = tensor.index(null, ...list.map((x) => x.item), "...");
        expect(out.shape).toEqual([1, ...expected.shape]);
        expect(read(out)).toEqual(flatten(expected));
        const last = tensor.index("...", ...list.slice(1).map((x) => x.item));
        const whole =
          shape.length > 0 ? [{ item: ":" as const, keeps: Array.from({ length: shape[0]! }, (_, i) => i) }] : [];
        expect(read(last)).toEqual(flatten(indexed(reference, [...whole, ...list.slice(1)])));
      }),
      { numRuns: 200 },
    );
  });

  it("passes gradients back, adding where an element was read twice", () => {
    fc.assert(
      fc.property(shapes, choices, (shape, c) => {
        const { tensor, reference } = counted(shape);
        tensor.requiresGrad_();
        const list = items(shape, c, true);
        tensor
          .index(...list.map((x) => x.item))
          .sum()
          .backward();
        const expected = new Array<number>(size(shape)).fill(0);
        for (const v of flatten(indexed(reference, list))) expected[v - 1]! += 1;
        expect(read(tensor.grad ?? torch.zeros(shape))).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });

  it("selects by mask and fills by mask", () => {
    fc.assert(
      fc.property(shapes, fc.array(fc.boolean(), { minLength: 256, maxLength: 256 }), (shape, bits) => {
        const { tensor, reference } = counted(shape);
        const flat = flatten(reference);
        const chosen = flat.map((_, i) => bits[i % 256] as boolean);
        const mask = torch.fromTypedArray(Uint8Array.from(chosen, Number), shape).bool();
        const expected = flat.filter((_, i) => chosen[i]);
        expect(read(tensor.maskedSelect(mask))).toEqual(expected);
        if (shape.length > 0) expect(read(tensor.index(mask))).toEqual(expected);
        expect(read(tensor.maskedFill(mask, -1))).toEqual(flat.map((v, i) => (chosen[i] ? -1 : v)));
        expect(read(torch.where(mask, tensor, 0))).toEqual(flat.map((v, i) => (chosen[i] ? v : 0)));
      }),
      { numRuns: 150 },
    );
  });

  it("takes masks over some of the dimensions, wherever they lie in memory", () => {
    const bits = fc.array(fc.boolean(), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(bits, fc.constantFrom(0, 1, 2), fc.boolean(), (chosen, first, turned) => {
        // A mask of [2, 3] over dimensions of x [2, 3, …], […, 2, 3, …] or […, 2, 3], and a number for the rest.
        const shape = [5, 4];
        shape.splice(first, 0, 2, 3);
        const base = torch.arange(120, { dtype: "float32" }).requiresGrad_();
        const x = turned ? base.view([...shape].reverse()).permute([3, 2, 1, 0]) : base.view(shape);
        const mask = torch.tensor(chosen).view([2, 3]);
        const items: Index[] = [...new Array<Index>(first).fill(":"), mask];
        const rest = shape.filter((_, d) => d !== first && d !== first + 1);
        const whole = mask.view(shape.map((n, d) => (d === first || d === first + 1 ? n : 1))).expand(shape);
        const picked = x.index(...items);
        const count = chosen.filter(Boolean).length;
        expect(picked.shape).toEqual([...rest.slice(0, first), count, ...rest.slice(first)]);
        // In memory's order of the other dimensions the masked ones come last.
        const order = [...shape.keys()].filter((d) => d !== first && d !== first + 1).concat(first, first + 1);
        const expected = x.detach().permute(order).maskedSelect(whole.permute(order));
        expect(read(picked.movedim(first, -1))).toEqual(read(expected));
        picked.sum().backward();
        const counts = whole.to("float32");
        const inMemory = turned ? counts.permute([3, 2, 1, 0]).flatten() : counts.flatten();
        expect(read(base.grad as torch.Tensor)).toEqual(read(inMemory));
        const written = x.detach().clone();
        const view = turned
          ? base
              .detach()
              .clone()
              .view([...shape].reverse())
              .permute([3, 2, 1, 0])
          : written;
        view.indexPut_(items, -1);
        expect(read(view)).toEqual(read(x.detach().maskedFill(whole, -1)));
      }),
      { numRuns: 60 },
    );
  });

  it("gets and sets single elements", () => {
    fc.assert(
      fc.property(shapes, fc.nat(), (shape, n) => {
        const { tensor, reference } = counted(shape);
        const all = indices(shape);
        if (all.length === 0) return;
        const index = all[n % all.length]!;
        expect(tensor.get(index)).toBe(reference.at(index));
        tensor.set(index, -5);
        expect(read(tensor)).toEqual(all.map((i) => (i.join() === index.join() ? -5 : reference.at(i))));
      }),
      { numRuns: 100 },
    );
  });

  it("refuses what is out of range", () => {
    const x = torch.zeros([2, 3]);
    expect(() => x.index(2)).toThrow(torch.IndexError);
    expect(() => x.index(0, -4)).toThrow(torch.IndexError);
    expect(() => x.index(0, 0, 0)).toThrow(torch.CressetError);
    expect(() => x.index([0, 2])).toThrow(torch.IndexError);
    expect(() => x.get([0, 3])).toThrow(torch.IndexError);
    expect(() => x.select(2, 0)).toThrow(torch.IndexError);
  });
});
