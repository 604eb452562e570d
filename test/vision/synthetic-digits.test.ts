/** The built-in digits: the same bytes everywhere, all classes, and neither trivial nor hopeless. */
import { createHash } from "node:crypto";
import { SyntheticDigits } from "cresset/vision";
import { describe, expect, it } from "vitest";

const pixelsOf = (digits: SyntheticDigits) => Array.from({ length: digits.length }, (_, i) => digits.pixelsOf(i));

describe("SyntheticDigits", () => {
  it("gives these very bytes on every machine", () => {
    const hash = createHash("md5");
    for (const pixels of pixelsOf(new SyntheticDigits({ length: 500, seed: 0 }))) hash.update(pixels);
    expect(hash.digest("hex")).toBe("9860258cec134d63ab0b2814245fa261");
  });

  it("does not depend on the order of asking, nor on the length", () => {
    const a = new SyntheticDigits({ length: 20, seed: 5 });
    const late = Uint8Array.from(a.pixelsOf(17));
    const all = pixelsOf(new SyntheticDigits({ length: 40, seed: 5 }));
    expect(late).toEqual(all[17]);
    expect(a.labelOf(17)).toBe(new SyntheticDigits({ length: 40, seed: 5 }).labelOf(17));
  });

  it("differs by seed and by half", () => {
    const base = pixelsOf(new SyntheticDigits({ length: 5 }));
    for (const other of [
      new SyntheticDigits({ length: 5, seed: 1 }),
      new SyntheticDigits({ length: 5, train: false }),
      new SyntheticDigits({ length: 5, seed: 2 ** 32 }),
    ]) {
      expect(pixelsOf(other)).not.toEqual(base);
    }
  });

  it("has every class about equally often, and ink in every image", () => {
    const digits = new SyntheticDigits({ length: 2000 });
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < digits.length; i++) {
      counts[digits.labelOf(i)] = (counts[digits.labelOf(i)] as number) + 1;
      expect(Math.max(...digits.pixelsOf(i))).toBeGreaterThan(150);
    }
    for (const count of counts) expect(Math.abs(count - 200)).toBeLessThan(5 * Math.sqrt(180));
  });

  it("is too varied for the mean image of each class, and still made of digits", () => {
    const train = new SyntheticDigits({ length: 2000 });
    const means = Array.from({ length: 10 }, () => ({ sum: new Float64Array(784), count: 0 }));
    for (let i = 0; i < train.length; i++) {
      const mean = means[train.labelOf(i)] as (typeof means)[number];
      mean.count += 1;
      const pixels = train.pixelsOf(i);
      mean.sum = mean.sum.map((value, at) => value + (pixels[at] as number));
    }
    const test = new SyntheticDigits({ length: 500, train: false });
    let right = 0;
    for (let i = 0; i < test.length; i++) {
      const distances = means.map(({ sum, count }) =>
        test.pixelsOf(i).reduce((d, value, at) => d + (value - (sum[at] as number) / count) ** 2, 0),
      );
      if (distances.indexOf(Math.min(...distances)) === test.labelOf(i)) right += 1;
    }
    expect(right / test.length).toBeGreaterThan(0.5);
    expect(right / test.length).toBeLessThan(0.9);
  });

  it("refuses lengths and seeds that are none", () => {
    expect(() => new SyntheticDigits({ length: 0 })).toThrow(/length is 0/);
    expect(() => new SyntheticDigits({ length: 1e9 })).toThrow(/length is 1000000000/);
    expect(() => new SyntheticDigits({ seed: 0.5 })).toThrow(/seed is 0.5/);
  });
});
