/** `backward` and `autograd.grad`: accumulation, roots, retained and created graphs, and every error that a user can meet. */
import * as torch from "cresset";
import { beforeAll, describe, expect, it } from "vitest";

const { tensor } = torch;
const scalar = (x: number): torch.Tensor => tensor(x, { dtype: "float64", requiresGrad: true });

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));

  describe("backward", () => {
    it("adds to what is there", () => {
      const x = tensor([1, 2], { requiresGrad: true });
      x.mul(3).sum().backward();
      x.mul(x).sum().backward();
      expect(x.grad!.tolist()).toEqual([5, 7]);
      x.grad = null;
      x.sum().backward();
      expect(x.grad!.tolist()).toEqual([1, 1]);
    });

    it("adds over every path through the graph", () => {
      const x = scalar(3);
      const y = x.mul(x);
      y.add(y.mul(y)).backward(); // x² + x⁴: 2x + 4x³
      expect(x.grad!.item()).toBe(114);
    });

    it("walks deep graphs without running out of stack", () => {
      const x = scalar(1);
      let y = x;
      for (let i = 0; i < 20_000; i++) y = y.add(1);
      y.backward();
      expect(x.grad!.item()).toBe(1);
    });

    it("a second time is an error, unless the graph was retained", () => {
      const x = scalar(3);
      const y = x.mul(x);
      y.backward(null, { retainGraph: true });
      y.backward();
      expect(x.grad!.item()).toBe(12);
      expect(() => y.backward()).toThrow(torch.AutogradError);
      expect(() => y.backward()).toThrow(/freed by an earlier backward; pass \{ retainGraph: true \}/);
      expect(x.grad!.item()).toBe(12);
    });

    it("a second time through a part that two roots share is an error too", () => {
      const x = scalar(3);
      const shared = x.exp();
      const [a, b] = [shared.mul(2), shared.mul(3)];
      a.backward();
      expect(() => b.backward()).toThrow(/the graph below exp was freed by an earlier backward/);
    });

    it("needs a gradient for a root that is not one number, and one of its shape", () => {
      const x = tensor([1, 2, 3], { requiresGrad: true });
      const y = x.mul(2);
      expect(() => y.backward()).toThrow(/this root has shape \(3,\): pass a gradient/);
      expect(() => y.backward(torch.ones([2]))).toThrow(torch.ShapeError);
      expect(() => y.backward(torch.ones([2]))).toThrow(/a gradient of shape \(2,\) for a root of shape \(3,\)/);
      y.backward(tensor([1, 10, 100]));
      expect(x.grad!.tolist()).toEqual([2, 20, 200]);
    });

    it("takes one element of any shape as a number", () => {
      const x = tensor([[2]], { requiresGrad: true });
      x.mul(x).backward();
      expect(x.grad!.tolist()).toEqual([[4]]);
    });

    it("from a leaf gives it the gradient itself", () => {
      const x = scalar(2);
      x.backward();
      expect(x.grad!.item()).toBe(1);
    });

    it("from what requires no gradient is an error", () => {
      expect(() => tensor(1).backward()).toThrow(/does not require a gradient/);
      expect(() => scalar(1).detach().backward()).toThrow(torch.AutogradError);
    });

    it("keeps the gradient's dtype with the leaf's", () => {
      const x = tensor([1, 2], { dtype: "float32", requiresGrad: true });
      const w = tensor([3, 4], { dtype: "float64", requiresGrad: true });
      const y = x.mul(w);
      expect(y.dtype).toBe("float64");
      y.sum().backward();
      expect([x.grad!.dtype, w.grad!.dtype]).toEqual(["float32", "float64"]);
    });

    it("does not flow into constants, comparisons or integers", () => {
      const x = tensor([1, 2], { requiresGrad: true });
      const constant = tensor([5, 6]);
      x.mul(constant).mul(x.gt(1)).sum().backward();
      expect(constant.grad).toBeNull();
      expect(x.gt(1).requiresGrad).toBe(false);
      expect(x.int().requiresGrad).toBe(false);
      expect(x.grad!.tolist()).toEqual([0, 6]);
    });

    it("gives leaves of integers no gradient", () => {
      expect(() => tensor([1, 2], { dtype: "int32", requiresGrad: true })).toThrow(
        /only floating tensors have gradients/,
      );
      expect(() => tensor([1, 2], { dtype: "int32" }).requiresGrad_()).toThrow(torch.DTypeError);
    });
  });

  describe("createGraph", () => {
    it("makes .grad differentiable", () => {
      const x = scalar(3);
      x.pow(3).backward(null, { createGraph: true });
      const g = x.grad!;
      expect(g.requiresGrad).toBe(true);
      expect(g.item()).toBeCloseTo(27, 12);
      x.grad = null;
      g.backward();
      expect(x.grad!.item()).toBeCloseTo(18, 12);
    });

    it("gives derivatives of every order", () => {
      const x = scalar(2);
      let y = x.pow(5);
      const found: number[] = [];
      for (let order = 1; order <= 6; order++) {
        [y] = torch.autograd.grad(y, x, { createGraph: true }) as [torch.Tensor];
        found.push(y.item());
      }
      for (const [i, expected] of [80, 160, 240, 240, 120, 0].entries()) expect(found[i]).toBeCloseTo(expected, 10);
    });

    it("does not record without it", () => {
      const x = scalar(3);
      const [g] = torch.autograd.grad(x.pow(3), x);
      expect(g!.requiresGrad).toBe(false);
    });

    it("is right under noGrad too, where only the graph's own making counts", () => {
      const x = scalar(3);
      const y = x.pow(3);
      const [g] = torch.noGrad(() => torch.autograd.grad(y, x, { createGraph: true }));
      expect(g!.requiresGrad).toBe(true);
      expect(g!.item()).toBeCloseTo(27, 12);
    });

    it("leaves what the created graph needs when the first is released", () => {
      // In a Sequential activations are reused with their graph; here the second graph still reads them.
      const { nn } = torch;
      torch.manualSeed(1);
      const model = new nn.Sequential(
        new nn.Linear(6, 8),
        new nn.Tanh(),
        new nn.Linear(8, 8),
        new nn.Sigmoid(),
      ).double();
      const x = torch.rand([4, 6], { dtype: "float64" });
      const penalty = (retainGraph: boolean): number[] => {
        model.zeroGrad();
        const y = model.forward(x).pow(3).sum();
        const grads = torch.autograd.grad(y, model.parameters(), { createGraph: true, retainGraph });
        for (let i = 0; i < 4; i++)
          model
            .forward(torch.rand([4, 6], { dtype: "float64" }))
            .sum()
            .backward();
        model.zeroGrad();
        const sum = grads.map((g) => g.square().sum()).reduce((a, b) => a.add(b));
        if (retainGraph) sum.backward();
        else return sum.isfinite().item() === 1 ? grads.map((g) => g.square().sum().item()) : [];
        return grads.map((g) => g.square().sum().item());
      };
      expect(penalty(false)).toEqual(penalty(true));
    });
  });

  describe("autograd.grad", () => {
    it("touches no .grad", () => {
      const x = scalar(3);
      const w = scalar(5);
      const [dx] = torch.autograd.grad(x.mul(w), x);
      expect(dx!.item()).toBe(5);
      expect([x.grad, w.grad]).toEqual([null, null]);
    });

    it("answers for several inputs, leaves or not, in their order", () => {
      const a = scalar(2);
      const b = scalar(3);
      const h = a.mul(b);
      const y = h.mul(h).add(b);
      const found = torch.autograd.grad(y, [b, h, a]);
      expect(found.map((g) => g.item())).toEqual([25, 12, 36]);
    });

    it("adds over several outputs, with the gradients given for them", () => {
      const x = tensor([1, 2], { requiresGrad: true });
      const [y, z] = [x.mul(2), x.mul(x).sum()];
      const [g] = torch.autograd.grad([y, z], x, { gradOutputs: [tensor([10, 100]), null] });
      expect(g!.tolist()).toEqual([22, 204]);
      const root = x.mul(3);
      expect(torch.autograd.grad(root, x, { gradOutputs: tensor([1, 2]) })[0]!.tolist()).toEqual([3, 6]);
      expect(() => torch.autograd.grad([x.mul(1), x.mul(2)], x, { gradOutputs: [tensor([1, 1])] })).toThrow(
        /1 gradients for 2 outputs/,
      );
    });

    it("gives the root's own gradient for the root", () => {
      const x = scalar(3);
      const y = x.mul(x);
      expect(torch.autograd.grad(y, [y, x]).map((g) => g.item())).toEqual([1, 6]);
    });

    it("of what is not used is an error, or null where that is allowed", () => {
      const [x, unused] = [scalar(3), tensor([1, 2], { requiresGrad: true })];
      expect(() => torch.autograd.grad(x.mul(x), [x, unused])).toThrow(/input 1 of shape \(2,\) is not used/);
      const [g, none] = torch.autograd.grad(x.mul(x), [x, unused], { allowUnused: true });
      expect([g!.item(), none]).toEqual([6, null]);
    });

    it("of what requires no gradient is an error", () => {
      expect(() => torch.autograd.grad(scalar(3).mul(2), tensor([1, 2]))).toThrow(
        /an input of shape \(2,\) does not require a gradient/,
      );
    });

    it("releases the graph unless told not to", () => {
      const x = scalar(3);
      const y = x.exp();
      torch.autograd.grad(y, x, { retainGraph: true });
      torch.autograd.grad(y, x);
      expect(() => torch.autograd.grad(y, x)).toThrow(/retainGraph/);
    });
  });

  describe("gradients are nobody else's memory", () => {
    it("two leaves of one sum", () => {
      const a = tensor([1, 2], { requiresGrad: true });
      const b = tensor([3, 4], { requiresGrad: true });
      a.add(b)
        .mul(tensor([5, 6]))
        .sum()
        .backward();
      torch.noGrad(() => a.grad!.mul_(100));
      expect(a.grad!.tolist()).toEqual([500, 600]);
      expect(b.grad!.tolist()).toEqual([5, 6]);
    });

    it("a leaf and the gradient that was passed in", () => {
      const a = tensor([1, 2], { requiresGrad: true });
      const given = tensor([7, 8]);
      a.add(1).backward(given);
      a.grad!.zero_();
      expect(given.tolist()).toEqual([7, 8]);
    });

    it("a leaf whose gradient is a view of a larger one", () => {
      const a = tensor([1, 2], { requiresGrad: true });
      const b = tensor([3], { requiresGrad: true });
      torch
        .cat([a, b])
        .mul(tensor([2, 3, 4]))
        .sum()
        .backward();
      a.grad!.zero_();
      expect(b.grad!.tolist()).toEqual([4]);
      expect(a.grad!.isContiguous()).toBe(true);
    });

    it("a leaf and a non-leaf that retains its own", () => {
      const x = tensor([1, 2], { requiresGrad: true });
      const h = x.add(1).retainGrad();
      h.mul(3).sum().backward();
      x.grad!.zero_();
      expect(h.grad!.tolist()).toEqual([3, 3]);
    });

    it("what a hook on the root was shown", () => {
      const x = tensor([1, 2, 3], { requiresGrad: true });
      const kept: torch.Tensor[] = [];
      for (let i = 0; i < 20; i++) {
        const loss = x.mul(i).sum();
        loss.registerHook((g) => void kept.push(g));
        loss.backward();
        for (let n = 0; n < 4; n++) torch.full([], 100 + n).mul(2);
      }
      expect(kept.map((g) => g.item())).toEqual(new Array(20).fill(1));
    });
  });
});
