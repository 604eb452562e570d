/** Gradient clipping against PyTorch's, and what must not happen to gradients that cannot be clipped. */
import { readFileSync } from "node:fs";
import * as torch from "cresset";
import { nn, optim, ValueError } from "cresset";
import { describe, expect, it } from "vitest";

type Numbers = number | Numbers[];
const { gradients, norms } = JSON.parse(
  readFileSync(new URL("../fixtures/clipping.json", import.meta.url), "utf8"),
) as { gradients: Numbers[][]; norms: [number | null, number, number, Numbers[][]][] };

function parameters(): torch.Tensor[] {
  return gradients.map((g) => {
    const grad = torch.tensor(g as number[]);
    const p = torch.zeros(grad.shape, { requiresGrad: true });
    p.grad = grad;
    return p;
  });
}

for (const engine of ["native", "wasm"] as const) {
  describe(`on ${engine}`, () => {
    torch.setCpuEngine(engine);
    const given = parameters();

    it.each(norms)("clipGradNorm_ of norm %s to %s", (type, largest, total, expected) => {
      torch.setCpuEngine(engine);
      const list = parameters();
      const normType = type ?? Number.POSITIVE_INFINITY;
      expect(nn.utils.clipGradNorm_(list, largest, { normType }).item()).toBeCloseTo(total, 4);
      for (const [i, p] of list.entries()) {
        const want = torch.tensor(expected[i] as number[]);
        expect(torch.allclose(p.grad as torch.Tensor, want, { rtol: 1e-6, atol: 0 })).toBe(true);
      }
    });

    it("clipGradValue_ cuts each number", () => {
      torch.setCpuEngine(engine);
      nn.utils.clipGradValue_(given, 2);
      expect(given.map((p) => p.grad?.tolist())).toEqual([
        [2, -2, 0.5],
        [
          [1, 2],
          [-2, 0.25],
        ],
        [2],
      ]);
    });
  });
}

describe("clipping", () => {
  it("passes over parameters without a gradient, and takes one parameter by itself", () => {
    const none = torch.zeros([2], { requiresGrad: true });
    expect(nn.utils.clipGradNorm_([none], 1).item()).toBe(0);
    expect(nn.utils.clipGradNorm_([], 1).shape).toEqual([]);
    const [first] = parameters() as [torch.Tensor];
    expect(nn.utils.clipGradNorm_([none, first], 100).item()).toBeCloseTo(Math.hypot(3, 4, 0.5), 5);
    expect(nn.utils.clipGradNorm_(first, 1).item()).toBeCloseTo(Math.hypot(3, 4, 0.5), 5);
    expect(none.grad).toBe(null);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses a norm of %s on request, and changes nothing", (bad) => {
    const [p, q] = parameters() as [torch.Tensor, torch.Tensor];
    q.grad = torch.full(q.shape, bad);
    expect(() => nn.utils.clipGradNorm_([p, q], 1, { errorIfNonfinite: true })).toThrow(ValueError);
    expect(p.grad?.tolist()).toEqual(gradients[0]);
  });

  it("spreads NaN where it is not refused, as in PyTorch", () => {
    const [p, q] = parameters() as [torch.Tensor, torch.Tensor];
    q.grad = torch.full(q.shape, Number.NaN);
    expect(nn.utils.clipGradNorm_([p, q], 1).item()).toBeNaN();
    expect(p.grad?.isnan().all().item()).toBe(1);
  });

  it("names settings out of their domain", () => {
    const list = parameters();
    expect(() => nn.utils.clipGradNorm_(list, -1)).toThrow(/maxNorm is not negative, but -1/);
    expect(() => nn.utils.clipGradNorm_(list, Number.NaN)).toThrow(ValueError);
    expect(() => nn.utils.clipGradNorm_(list, 1, { normType: 0 })).toThrow(/normType is positive, but 0/);
    expect(() => nn.utils.clipGradValue_(list, -1)).toThrow(/clipValue is not negative, but -1/);
    expect(list[0]?.grad?.tolist()).toEqual(gradients[0]);
  });

  it("works inside a compiled step, to the same parameters", () => {
    const run = (compiled: boolean): number[] => {
      torch.manualSeed(3);
      const model = new nn.Sequential(new nn.Linear(40, 30), new nn.Tanh(), new nn.Linear(30, 3));
      const optimiser = new optim.SGD(model.parameters(), { lr: 1 });
      const eager = (x: torch.Tensor): torch.Tensor => {
        const loss = model.forward(x).square().sum();
        optimiser.zeroGrad();
        loss.backward();
        nn.utils.clipGradNorm_(model.parameters(), 0.1);
        optimiser.step();
        return loss;
      };
      const step = compiled ? torch.compile(eager) : eager;
      for (let i = 0; i < 5; i++) step(torch.rand([8, 40]));
      return [...model.parameters()].flatMap((p) => [...(p.detach().toTypedArray() as Float32Array)]);
    };
    expect(run(true)).toEqual(run(false));
  });
});
