/** In-place changes while recording: values and gradients are PyTorch 2.13's, and what cannot be right is an error. */
import * as torch from "cresset";
import { beforeAll, describe, expect, it } from "vitest";

const { tensor } = torch;
const leaf = (values: number[] | number[][]): torch.Tensor => tensor(values, { requiresGrad: true });
const rows = [
  [1, 2, 3],
  [4, 5, 6],
];

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));

  describe("values and gradients", () => {
    it("of a change by another tensor", () => {
      const x = leaf([1, 2, 3]);
      const y = x.mul(2);
      expect(y.mul_(x)).toBe(y);
      y.sum().backward(); // y = x * 2; y.mul_(x); y.sum().backward()
      expect(y.tolist()).toEqual([2, 8, 18]);
      expect(x.grad!.tolist()).toEqual([4, 8, 12]);
    });

    it("of a change whose gradient needs the result", () => {
      const x = leaf([1, 2, 3]);
      const y = x.mul(2);
      y.exp_().sum().backward(); // y = x * 2; y.exp_().sum().backward()
      const expected = [14.778112411499023, 109.19629669189453, 806.8576049804688];
      for (const [i, g] of (x.grad!.tolist() as number[]).entries()) expect(g / expected[i]!).toBeCloseTo(1, 6);
    });

    it("of a change through a view", () => {
      const x = leaf([1, 2, 3, 4]);
      const w = leaf([5, 7]);
      const y = x.mul(3);
      const v = y.slice(0, 1, 3);
      v.mul_(w); // v = y[1:3]; v.mul_(w); (y * [1, 2, 3, 4]).sum().backward()
      y.mul(tensor([1, 2, 3, 4]))
        .sum()
        .backward();
      expect(y.tolist()).toEqual([3, 30, 63, 12]);
      expect(v.tolist()).toEqual([30, 63]);
      expect(x.grad!.tolist()).toEqual([3, 30, 63, 12]);
      expect(w.grad!.tolist()).toEqual([12, 27]);
    });

    it("of changes through several views of one base, seen through a third", () => {
      const x = leaf([1, 2, 3, 4]);
      const y = x.mul(3);
      const a = y.slice(0, 0, 2);
      const b = y.slice(0, 2);
      const c = y.reshape(2, 2).t();
      a.mul_(2);
      b.pow_(2);
      c.select(0, 0).add_(x.slice(0, 0, 2));
      c.mul(c).sum().backward(); // a.mul_(2); b.pow_(2); c[0].add_(x[:2]); (c * c).sum().backward()
      expect(y.tolist()).toEqual([7, 12, 83, 144]);
      expect(a.tolist()).toEqual([7, 12]);
      expect(b.tolist()).toEqual([83, 144]);
      expect(c.tolist()).toEqual([
        [7, 83],
        [12, 144],
      ]);
      expect(x.grad!.tolist()).toEqual([98, 310, 8964, 20736]);
    });

    it("of a change of the base after a view was taken", () => {
      const x = leaf([1, 2, 3, 4]);
      const y = x.mul(3);
      const a = y.slice(0, 0, 2);
      y.mul_(y.detach().clone());
      a.mul(tensor([10, 100]))
        .sum()
        .backward(); // y.mul_(y.detach().clone()); (a * [10, 100]).sum().backward()
      expect(a.tolist()).toEqual([9, 36]);
      expect(x.grad!.tolist()).toEqual([90, 1800, 0, 0]);
    });

    it("of views of views, changed in turn with their base", () => {
      const x = leaf([1, 2, 3, 4]);
      const y = x.mul(1);
      const v = y.slice(0, 1);
      const u = v.slice(0, 1);
      u.mul_(2);
      v.mul_(3);
      y.add_(1);
      u.mul(tensor([1, 10]))
        .sum()
        .backward(); // v = y[1:]; u = v[1:]; u.mul_(2); v.mul_(3); y.add_(1)
      expect(y.tolist()).toEqual([2, 7, 19, 25]);
      expect(x.grad!.tolist()).toEqual([0, 0, 6, 60]);
    });

    it("of a transposed view, by autograd.grad", () => {
      const x = leaf([1, 2, 3, 4]);
      const q = x.mul(2).reshape(2, 2).t();
      q.select(0, 0).mul_(x.slice(0, 0, 2));
      const [g] = torch.autograd.grad(q.pow(2).sum(), x); // q[0].mul_(x[:2]); grad((q ** 2).sum(), x)
      expect(q.tolist()).toEqual([
        [2, 12],
        [4, 8],
      ]);
      expect(g!.tolist()).toEqual([16, 160, 96, 32]);
    });

    it("of zero_ and fill_ on views", () => {
      const x = leaf(rows);
      const y = x.mul(2);
      y.select(0, 0).zero_();
      y.index(":", 1).fill_(9);
      y.mul(y).sum().backward(); // y[0].zero_(); y[:, 1].fill_(9.); (y * y).sum().backward()
      expect(y.tolist()).toEqual([
        [0, 9, 0],
        [8, 9, 12],
      ]);
      expect(x.grad!.tolist()).toEqual([
        [0, 0, 0],
        [32, 0, 48],
      ]);
    });

    it("of copy_ into a view", () => {
      const x = leaf(rows);
      const w = leaf([10, 20]);
      const y = x.mul(2);
      y.t().select(0, 2).copy_(w);
      y.mul(y).sum().backward(); // y.t()[2].copy_(w); (y * y).sum().backward()
      expect(x.grad!.tolist()).toEqual([
        [8, 16, 0],
        [32, 40, 0],
      ]);
      expect(w.grad!.tolist()).toEqual([20, 40]);
    });

    it("of indexPut_ on views", () => {
      const x = leaf(rows);
      const w = leaf([10, 20]);
      const y = x.mul(2);
      y.select(0, 1).indexPut_([[0, 2]], w);
      y.mul(y).sum().backward(); // y[1][[0, 2]] = w; (y * y).sum().backward()
      expect(y.tolist()).toEqual([
        [2, 4, 6],
        [10, 10, 20],
      ]);
      expect(x.grad!.tolist()).toEqual([
        [8, 16, 24],
        [0, 40, 0],
      ]);
      expect(w.grad!.tolist()).toEqual([20, 40]);
    });

    it("of indexPut_ that accumulates at one place twice", () => {
      const x = leaf(rows);
      const w = leaf([10, 20]);
      const y = x.mul(2);
      y.view(6).indexPut_([[1, 1]], w, true);
      y.mul(y).sum().backward(); // y.view(6).index_put_(([1, 1],), w, accumulate=True); (y * y).sum().backward()
      expect(x.grad!.tolist()).toEqual([
        [8, 136, 24],
        [32, 40, 48],
      ]);
      expect(w.grad!.tolist()).toEqual([68, 68]);
    });

    it("of maskedFill_ on a view", () => {
      const x = leaf(rows);
      const y = x.mul(2);
      const mask = tensor([
        [true, false],
        [false, true],
      ]);
      y.slice(1, 1).maskedFill_(mask, -1);
      y.mul(y).sum().backward(); // y[:, 1:].masked_fill_(mask, -1.); (y * y).sum().backward()
      expect(y.tolist()).toEqual([
        [2, -1, 6],
        [8, 10, -1],
      ]);
      expect(x.grad!.tolist()).toEqual([
        [8, 0, 24],
        [32, 40, 0],
      ]);
    });

    it("of set with numbers and tensors", () => {
      const x = leaf(rows);
      const y = x.mul(2);
      y.set([1, 2], 0.5);
      y.select(0, 0).set([1], x.index(1, 1));
      y.mul(y).sum().backward(); // y[1, 2] = 0.5; y[0][1] = x[1, 1]; (y * y).sum().backward()
      expect(y.tolist()).toEqual([
        [2, 5, 6],
        [8, 10, 0.5],
      ]);
      expect(x.grad!.tolist()).toEqual([
        [8, 0, 24],
        [32, 50, 0],
      ]);
    });

    it("of writing into a tensor that required no gradient before", () => {
      const w = leaf([2, 3]);
      const z = torch.zeros([2, 2]);
      const first = z.select(0, 0);
      first.copy_(w);
      z.select(0, 1).add_(w.mul(w));
      const weights = tensor([
        [1, 2],
        [3, 4],
      ]);
      z.mul(weights).sum().backward(); // z[0] = w; z[1].add_(w * w); (z * weights).sum().backward()
      expect([z.requiresGrad, z.isLeaf, first.requiresGrad]).toEqual([true, false, true]);
      expect(w.grad!.tolist()).toEqual([13, 26]);
    });

    it("of values that replace all of a non-leaf: its gradient is zero", () => {
      const x = leaf([1, 2, 3]);
      const copied = x.mul(2).copy_(tensor([7, 8, 9])); // requires_grad stays True; x.grad is [0., 0., 0.]
      expect(copied.requiresGrad).toBe(true);
      copied.sum().backward();
      expect(x.grad!.tolist()).toEqual([0, 0, 0]);
      const filled = x.mul(2).fill_(4);
      expect(filled.requiresGrad).toBe(true);
      filled.sum().backward();
      expect(x.grad!.tolist()).toEqual([0, 0, 0]);
    });

    it("of a view whose base is a detached transpose", () => {
      const w = leaf([2, 3]);
      const z = tensor(rows).t().detach(); // (3, 2), not contiguous
      z.select(0, 2).mul_(w);
      expect(z.tolist()).toEqual([
        [1, 4],
        [2, 5],
        [6, 18],
      ]);
      z.mul(z).sum().backward(); // z = torch.tensor(rows).t().detach(); z[2].mul_(w); (z * z).sum().backward()
      expect(w.grad!.tolist()).toEqual([36, 216]);
    });
  });

  describe("errors", () => {
    const changed = /was changed in place \(it is at version 1, saved at 0\); clone it/;

    it("a saved input was changed", () => {
      const x = leaf([1, 2]);
      const h = x.mul(2);
      const y = h.mul(h);
      h.add_(1);
      expect(() => y.sum().backward()).toThrow(/of shape \(2,?\) that mul needs was changed in place/);
      expect(x.grad).toBeNull();
    });

    it("a saved output was changed", () => {
      const x = leaf([1, 2]);
      const y = x.exp();
      y.mul_(2);
      expect(() => y.sum().backward()).toThrow(/that exp needs was changed in place/);
    });

    it("a saved tensor was changed through a view", () => {
      const x = leaf([1, 2]);
      const h = x.mul(2);
      const y = h.sin();
      h.slice(0, 0, 1).zero_();
      expect(() => y.sum().backward()).toThrow(changed);
    });

    it("a saved tensor was changed through detach()", () => {
      const x = leaf([1, 2]);
      const h = x.mul(2);
      const y = h.square();
      h.detach().zero_();
      expect(() => y.sum().backward()).toThrow(changed);
    });

    it("a saved leaf was changed under noGrad, as an optimiser does", () => {
      const x = leaf([1, 2]);
      const y = x.mul(x).sum();
      torch.noGrad(() => x.sub_(1));
      expect(x.tolist()).toEqual([0, 1]);
      expect(() => y.backward()).toThrow(changed);
    });

    it("a factor of in-place multiplication by itself was changed by it", () => {
      const x = leaf([1, 2]);
      const z = x.mul(2);
      z.mul_(z); // PyTorch: "… modified by an inplace operation … which is output 0 of Mul, is at version 1"
      expect(z.tolist()).toEqual([4, 16]);
      expect(() => z.sum().backward()).toThrow(changed);
    });

    it("none, where what was changed is not needed", () => {
      const x = leaf([1, 2]);
      const h = x.mul(2);
      const y = h.add(1);
      h.zero_();
      y.sum().backward();
      expect(x.grad!.tolist()).toEqual([2, 2]);
    });

    it.each([
      ["add_", (x: torch.Tensor) => x.add_(1)],
      ["zero_", (x: torch.Tensor) => x.zero_()],
      ["copy_", (x: torch.Tensor) => x.copy_(torch.ones([2]))],
      ["uniform_", (x: torch.Tensor) => x.uniform_()],
      ["set", (x: torch.Tensor) => x.set([0], 1)],
      ["indexPut_", (x: torch.Tensor) => x.indexPut_([[0]], 1)],
      ["a view's mul_", (x: torch.Tensor) => x.slice(0, 0, 1).mul_(2)],
    ] as const)("a leaf that requires a gradient: %s", (_, change) => {
      const x = leaf([3, 4]);
      expect(() => change(x)).toThrow(/a leaf that requires a gradient cannot be changed in place/);
      expect(x.tolist()).toEqual([3, 4]);
      torch.noGrad(() => change(x));
      expect(x.tolist()).not.toEqual([3, 4]);
      expect([x.isLeaf, x.requiresGrad]).toEqual([true, true]);
    });

    it("an expanded tensor", () => {
      const wide = leaf([1, 2]).mul(1).expand(3, 2);
      expect(() => wide.add_(1)).toThrow(/add_: an expanded tensor shares its elements; clone it/);
      expect(() => wide.zero_()).toThrow(/an expanded tensor/);
      expect(wide.clone().add_(1).tolist()).toEqual([
        [2, 3],
        [2, 3],
        [2, 3],
      ]);
    });

    it("an expanded tensor that requires no gradient", () => {
      const wide = tensor([1, 2]).expand(3, 2); // PyTorch: "more than one element of the written-to tensor …"
      expect(() => wide.add_(1)).toThrow(/an expanded tensor shares its elements/);
    });

    it("a result of another dtype or shape, which changes nothing", () => {
      const counts = tensor([1, 2], { dtype: "int32" });
      expect(() => counts.div_(2)).toThrow(/div_: the result is float32, which a int32 tensor cannot hold/);
      expect(() => counts.add_(torch.ones([2, 2], { dtype: "int32" }))).toThrow(/does not fit \(2,\)/);
      expect(counts.tolist()).toEqual([1, 2]);
    });
  });
});

describe.each(["native", "wasm"] as const)("%s: random numbers in place", (engine) => {
  it("of a non-leaf end its history: the gradient is zero", () => {
    torch.setCpuEngine(engine);
    const x = torch.tensor([1, 2, 3], { requiresGrad: true });
    const y = x.mul(2).uniform_(0, 1);
    expect(y.requiresGrad).toBe(true);
    expect(Math.max(...(y.tolist() as number[]))).toBeLessThan(1);
    y.square().sum().backward();
    expect(x.grad!.tolist()).toEqual([0, 0, 0]);
  });
});
