/** Hooks on tensors see a gradient when it is whole, may replace it, and can be removed. */
import * as torch from "cresset";
import { beforeAll, describe, expect, it } from "vitest";

const { tensor } = torch;
const leaf = (x: number | number[]): torch.Tensor => tensor(x, { requiresGrad: true });

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));

  it("a hook on a non-leaf sees the sum over all paths, once", () => {
    const x = leaf([1, 2]);
    const h = x.mul(3);
    const seen: unknown[] = [];
    h.registerHook((g) => void seen.push(g.tolist()));
    h.mul(10).add(h.mul(100)).sum().backward();
    expect(seen).toEqual([[110, 110]]);
    expect(x.grad!.tolist()).toEqual([330, 330]);
  });

  it("what it gives replaces the gradient from there on", () => {
    const x = leaf([1, 2]);
    const other = leaf([1, 1]);
    const h = x.mul(3);
    h.registerHook((g) => g.mul(2));
    h.registerHook((g) => g.add(1));
    h.mul(other).sum().backward();
    expect(x.grad!.tolist()).toEqual([9, 9]);
    expect(other.grad!.tolist()).toEqual([3, 6]);
  });

  it("a hook on a leaf runs before its .grad collects", () => {
    const x = leaf([1, 2]);
    x.registerHook((g) => g.mul(-1));
    x.mul(3).sum().backward();
    x.mul(4).sum().backward();
    expect(x.grad!.tolist()).toEqual([-7, -7]);
  });

  it("a removed hook runs no more; removing twice is harmless", () => {
    const x = leaf([1, 2]);
    let calls = 0;
    const kept = x.registerHook(() => void calls++);
    const removed = x.registerHook((g) => g.mul(100));
    removed();
    removed();
    x.sum().backward();
    expect([calls, x.grad!.tolist()]).toEqual([1, [1, 1]]);
    kept();
    x.sum().backward();
    expect(calls).toBe(1);
  });

  it("a hook may run operations, which are recorded only with createGraph", () => {
    const x = leaf(3);
    const recorded: boolean[] = [];
    const y = x.mul(x);
    y.registerHook((g) => {
      recorded.push(torch.isGradEnabled());
      return g.mul(x);
    });
    y.backward(null, { retainGraph: true });
    expect(x.grad!.item()).toBe(18);
    expect(torch.autograd.grad(y, x, { createGraph: true })[0]!.requiresGrad).toBe(true);
    expect(recorded).toEqual([false, true]);
  });

  it("autograd.grad runs them too and gives what they make of it", () => {
    const x = leaf(3);
    x.registerHook((g) => g.mul(10));
    expect(torch.autograd.grad(x.mul(x), x)[0]!.item()).toBe(60);
    expect(x.grad).toBeNull();
  });

  it("an error in a hook passes through and leaves recording as it was", () => {
    const x = leaf(3);
    const y = x.mul(x);
    y.registerHook(() => {
      throw new Error("mine");
    });
    expect(() => y.backward()).toThrow("mine");
    expect(torch.isGradEnabled()).toBe(true);
    x.mul(2).backward();
    expect(x.grad!.item()).toBe(2);
  });

  it("needs a tensor that requires a gradient", () => {
    expect(() => tensor(1).registerHook(() => undefined)).toThrow(/does not require a gradient/);
  });

  it("retainGrad keeps a non-leaf's gradient, adding as leaves do", () => {
    const x = leaf([1, 2]);
    const h = x.mul(3);
    expect(h.retainGrad()).toBe(h);
    h.retainGrad();
    h.mul(2).sum().backward(null, { retainGraph: true });
    h.mul(5).sum().backward();
    expect(h.grad!.tolist()).toEqual([7, 7]);
    expect(x.grad!.tolist()).toEqual([21, 21]);
    const plain = x.mul(3);
    plain.sum().backward();
    expect(plain.grad).toBeNull();
  });

  it("hooks are per output of an operation with several", () => {
    const x = tensor(
      [
        [3, 1],
        [2, 4],
      ],
      { requiresGrad: true },
    );
    const { values } = x.max(1);
    const seen: unknown[] = [];
    values.registerHook((g) => void seen.push(g.tolist()));
    values
      .mul(tensor([5, 7]))
      .sum()
      .backward();
    expect(seen).toEqual([[5, 7]]);
    expect(x.grad!.tolist()).toEqual([
      [5, 0],
      [0, 7],
    ]);
  });

  it("gradients kept from hooks stay what they were through further training", () => {
    torch.manualSeed(0);
    const { nn, optim } = torch;
    const model = new nn.Sequential(new nn.Linear(6, 5), new nn.Tanh(), new nn.Linear(5, 3));
    const optimiser = new optim.SGD(model.parameters(), { lr: 0.1 });
    const kept: [torch.Tensor, unknown][] = [];
    for (const p of model.parameters()) p.registerHook((g) => void kept.push([g, g.tolist()]));
    for (let i = 0; i < 20; i++) {
      const loss = model
        .forward(torch.rand([4, 6]))
        .square()
        .mean();
      loss.registerHook((g) => void kept.push([g, g.tolist()]));
      optimiser.zeroGrad();
      loss.backward();
      torch.noGrad(() => model.parameters()[0]!.grad!.mul_(0.5)); // what was kept is not what .grad holds
      optimiser.step();
    }
    expect(kept.length).toBe(100);
    for (const [g, then] of kept) expect(g.tolist()).toEqual(then);
  });
});
