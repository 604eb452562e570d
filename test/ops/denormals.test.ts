/** setFlushDenormal: kernels of the native engine take denormal numbers for zero while it is on, on every thread. */
import { afterAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { engines, onEngine } from "./cases.js";

describe.each(engines)("%s", (engine) => {
  const tiny = 2 ** -140;
  /** How many of n denormal numbers a multiplication leaves. */
  const left = (n: number): number => {
    const y = torch.full([n], tiny).mul(0.5).toTypedArray();
    return y.length - Array.prototype.filter.call(y, (v) => v === 0).length;
  };
  afterAll(() => {
    onEngine(engine);
    torch.setFlushDenormal(false);
  });

  it("is off at first, and is left again", () => {
    onEngine(engine);
    torch.setNumThreads(2);
    const can = engine === "native";
    for (const n of [1, 17, 300_001]) {
      expect(left(n)).toBe(n);
      expect(torch.setFlushDenormal(true)).toBe(can);
      expect(left(n)).toBe(can ? 0 : n);
      // JavaScript's own arithmetic is not touched.
      expect(Number("1e-310") * 0.5).toBeGreaterThan(0);
      expect(torch.setFlushDenormal(false)).toBe(can);
      expect(left(n)).toBe(n);
    }
  });
});
