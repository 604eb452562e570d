/** Grad modes nest, end with their function however it ends, and decide what is recorded; anomaly mode names lines. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as torch from "cresset";
import { afterEach, beforeAll, describe, expect, it } from "vitest";

const { autograd, tensor } = torch;
const leaf = (x: number | number[]): torch.Tensor => tensor(x, { requiresGrad: true });

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));
  afterEach(() => {
    torch.setGradEnabled(true);
    autograd.setDetectAnomaly(false);
  });

  it.each([
    ["noGrad", torch.noGrad],
    ["inferenceMode", torch.inferenceMode],
  ] as const)("%s records nothing and gives its function's result", (_, mode) => {
    const x = leaf(3);
    const y = mode(() => {
      expect(torch.isGradEnabled()).toBe(false);
      return x.mul(x);
    });
    expect([y.item(), y.requiresGrad, y.isLeaf, y.gradFn]).toEqual([9, false, true, null]);
    expect(torch.isGradEnabled()).toBe(true);
    expect(x.requiresGrad).toBe(true);
  });

  it("modes nest", () => {
    const x = leaf(3);
    const seen: boolean[] = [];
    const look = (): void => void seen.push(x.mul(2).requiresGrad);
    look();
    torch.noGrad(() => {
      look();
      torch.enableGrad(() => {
        look();
        torch.inferenceMode(look);
        look();
      });
      look();
    });
    look();
    expect(seen).toEqual([true, false, true, false, true, false, true]);
  });

  it("setGradEnabled holds until the surrounding mode ends", () => {
    torch.setGradEnabled(false);
    expect(leaf(1).mul(2).requiresGrad).toBe(false);
    torch.setGradEnabled(true);
    torch.noGrad(() => {
      torch.setGradEnabled(true);
      expect(leaf(1).mul(2).requiresGrad).toBe(true);
    });
    torch.enableGrad(() => torch.setGradEnabled(false));
    expect(torch.isGradEnabled()).toBe(true);
  });

  it("modes end with an exception, which passes through", () => {
    const thrown = new Error("mine");
    for (const mode of [torch.noGrad, torch.inferenceMode, autograd.detectAnomaly]) {
      expect(() =>
        mode(() => {
          throw thrown;
        }),
      ).toThrow(thrown);
      expect(torch.isGradEnabled()).toBe(true);
    }
    const x = leaf([1, 2]);
    expect(() => x.mul(2).backward()).toThrow();
    const h = x.mul(2);
    const y = h.mul(h).sum();
    h.zero_();
    expect(() => y.backward()).toThrow(/changed in place/);
    expect(torch.isGradEnabled()).toBe(true);
    expect(x.mul(2).requiresGrad).toBe(true);
  });

  it("what was recorded before noGrad still has its backward inside", () => {
    const x = leaf(3);
    const y = x.mul(x);
    torch.noGrad(() => y.backward());
    expect(x.grad!.item()).toBe(6);
  });

  it("detach shares memory and ends the graph", () => {
    const x = leaf([1, 2]);
    const h = x.mul(2);
    const d = h.detach();
    expect([d.requiresGrad, d.isLeaf]).toEqual([false, true]);
    d.mul_(10);
    expect(h.tolist()).toEqual([20, 40]);
    h.mul(d).sum().backward();
    expect(x.grad!.tolist()).toEqual([40, 80]);
    const own = h.detach().requiresGrad_();
    own.mul(3).sum().backward();
    expect(own.grad!.tolist()).toEqual([3, 3]);
  });

  it("detach_ makes a non-leaf a leaf", () => {
    const x = leaf([1, 2]);
    const h = x.mul(2).detach_();
    expect([h.requiresGrad, h.isLeaf]).toEqual([false, true]);
    expect(h.mul(2).requiresGrad).toBe(false);
  });

  it("requiresGrad can be switched on leaves only", () => {
    const x = tensor([1, 2]);
    x.requiresGrad = true;
    expect(x.mul(2).requiresGrad).toBe(true);
    x.requiresGrad = false;
    expect(x.mul(2).requiresGrad).toBe(false);
    const y = leaf(1).mul(2);
    expect(() => {
      y.requiresGrad = false;
    }).toThrow(/use detach\(\)/);
  });

  describe("anomaly mode", () => {
    it("names the forward line that gave the NaN", () => {
      const x = leaf([0, 1]);
      const message = autograd.detectAnomaly(() => {
        const root = x.sqrt(); // the line: d√x/dx is infinite at 0, and 0 · ∞ is NaN
        const y = root.mul(0).sum();
        try {
          y.backward();
        } catch (error) {
          expect(error).toBeInstanceOf(torch.AutogradError);
          return (error as Error).message;
        }
        return "no error";
      });
      expect(message).toMatch(/^backward: sqrt gave NaN; its forward call was\n/);
      const [first] = message.split("\n").slice(1);
      expect(first).toContain("modes.test.ts");
      const line = Number(/modes\.test\.ts:(\d+)/.exec(first!)![1]);
      const source = readFileSync(fileURLToPath(import.meta.url), "utf8").split("\n");
      expect(source[line - 1]).toContain("const root = x.sqrt();");
    });

    it("is switched on and off", () => {
      const run = (): void => leaf([0, 1]).sqrt().mul(0).sum().backward();
      expect(run).not.toThrow();
      autograd.setDetectAnomaly(true);
      expect(run).toThrow(/sqrt gave NaN/);
      autograd.setDetectAnomaly(false);
      expect(run).not.toThrow();
    });

    it("says nothing where nothing is wrong", () => {
      const x = leaf([4, 9]);
      autograd.detectAnomaly(() => x.sqrt().sum().backward());
      expect(x.grad!.get([0])).toBeCloseTo(0.25);
    });
  });
});
