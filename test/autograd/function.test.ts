/** Operations of the user's own. */
import * as torch from "cresset";
import { beforeAll, describe, expect, it } from "vitest";

const { autograd, tensor } = torch;
type Context = torch.autograd.FunctionContext;
type Tensor = torch.Tensor;
const leaf = (x: number | number[]): Tensor => tensor(x, { dtype: "float64", requiresGrad: true });

class Cube extends autograd.Function {
  static override forward(ctx: Context, x: Tensor): Tensor {
    ctx.saveForBackward(x);
    return x.pow(3);
  }
  static override backward(ctx: Context, g: Tensor): Tensor {
    const [x] = ctx.savedTensors;
    return g.mul(x!.pow(2)).mul(3);
  }
}

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));

  it("has its forward and its gradient, of any order", () => {
    const x = leaf([2, 3]);
    const y = Cube.apply(x);
    expect([y.tolist(), y.gradFn!.name]).toEqual([[8, 27], "Cube"]);
    const [g] = autograd.grad(y.sum(), x, { createGraph: true });
    expect(g!.tolist()).toEqual([12, 27]);
    expect(autograd.grad(g!.sum(), x)[0]!.tolist()).toEqual([12, 18]);
    expect(autograd.gradcheck((t) => Cube.apply(t), [leaf([0.5, -1.5])])).toBe(true);
  });

  it("records nothing inside forward, and nothing at all under noGrad", () => {
    let inside = true;
    class Look extends autograd.Function {
      static override forward(_: Context, x: Tensor): Tensor {
        inside = torch.isGradEnabled() || x.mul(2).requiresGrad;
        return x.mul(2);
      }
      static override backward(_: Context, g: Tensor): Tensor {
        return g.mul(2);
      }
    }
    expect(Look.apply(leaf(1)).requiresGrad).toBe(true);
    expect(inside).toBe(false);
    expect(torch.noGrad(() => Look.apply(leaf(1))).requiresGrad).toBe(false);
    expect(Look.apply(tensor(1)).requiresGrad).toBe(false);
  });

  it("keeps attributes and plain arguments in the context, and knows whose gradient is wanted", () => {
    const asked: (readonly boolean[])[] = [];
    class ScaledProduct extends autograd.Function {
      static override forward(ctx: Context, a: Tensor, b: Tensor, scale: number): Tensor {
        ctx.saveForBackward(a, b);
        ctx.scale = scale;
        asked.push(ctx.needsInputGrad);
        return a.mul(b).mul(scale);
      }
      static override backward(ctx: Context, g: Tensor): (Tensor | null)[] {
        const [a, b] = ctx.savedTensors as [Tensor, Tensor];
        const scaled = g.mul(ctx.scale as number);
        return [scaled.mul(b), ctx.needsInputGrad[1] === true ? scaled.mul(a) : null];
      }
    }
    const [a, b] = [leaf([1, 2]), tensor([3, 4], { dtype: "float64" })];
    ScaledProduct.apply(a, b, 10).sum().backward();
    expect(a.grad!.tolist()).toEqual([30, 40]);
    expect(b.grad).toBeNull();
    expect(asked).toEqual([[true, false, false]]);
  });

  it("may have several outputs; one that is not used gets a gradient of zeros", () => {
    class Both extends autograd.Function {
      static override forward(_: Context, x: Tensor): Tensor[] {
        return [x.mul(2), x.mul(3)];
      }
      static override backward(_: Context, g: Tensor, h: Tensor): Tensor {
        return g.mul(2).add(h.mul(3));
      }
    }
    const x = leaf([1, 2]);
    const [a, b] = Both.apply(x) as [Tensor, Tensor];
    a.mul(10).add(b).sum().backward();
    expect(x.grad!.tolist()).toEqual([23, 23]);
    x.grad = null;
    const [, only] = Both.apply(x) as [Tensor, Tensor];
    only.sum().backward();
    expect(x.grad!.tolist()).toEqual([3, 3]);
  });

  it("may give an input back; the result is another tensor", () => {
    class Reverse extends autograd.Function {
      static override forward(_: Context, x: Tensor): Tensor {
        return x;
      }
      static override backward(_: Context, g: Tensor): Tensor {
        return g.neg();
      }
    }
    const x = leaf([1, 2]);
    const y = Reverse.apply(x);
    expect(y === x).toBe(false);
    y.mul(5).sum().backward();
    expect(x.grad!.tolist()).toEqual([-5, -5]);
  });

  it("a gradient of the wrong shape is an error that names the class", () => {
    class Wrong extends autograd.Function {
      static override forward(_: Context, x: Tensor): Tensor {
        return x.sum();
      }
      static override backward(_: Context, g: Tensor): Tensor {
        return g;
      }
    }
    expect(() => Wrong.apply(leaf([1, 2])).backward()).toThrow(
      /Wrong\.backward: gradient 0 has shape \(\); its input has \(2,\)/,
    );
  });

  it("too many gradients, or no backward at all, are errors", () => {
    class Many extends Cube {
      static override backward(_: Context, g: Tensor): never {
        return [g, g] as never;
      }
    }
    expect(() => Many.apply(leaf(1)).backward()).toThrow(/Many\.backward: gave 2 gradients for 1 inputs/);
    class Half extends autograd.Function {
      static override forward(_: Context, x: Tensor): Tensor {
        return x.mul(1);
      }
    }
    expect(() => Half.apply(leaf(1)).backward()).toThrow(/Half: has no static backward/);
  });

  it("saved tensors are watched for changes, and freed with the graph", () => {
    const x = leaf(2);
    const h = x.mul(1);
    const y = Cube.apply(h);
    h.zero_();
    expect(() => y.backward()).toThrow(/that Cube needs was changed in place/);
    const z = Cube.apply(x);
    z.backward();
    expect(() => z.backward()).toThrow(/freed by an earlier backward/);
  });

  it("gradients that backward keeps stay what they were", () => {
    const kept: Tensor[] = [];
    class Keep extends autograd.Function {
      static override forward(_: Context, x: Tensor): Tensor {
        return x.mul(1);
      }
      static override backward(_: Context, g: Tensor): Tensor {
        kept.push(g);
        return g.mul(2);
      }
    }
    const x = leaf(1);
    for (let i = 0; i < 10; i++) {
      x.grad = null;
      Keep.apply(x).backward();
      for (let n = 0; n < 4; n++) torch.full([], 50 + n, { dtype: "float64" }).mul(2);
    }
    expect(kept.map((g) => g.item())).toEqual(new Array(10).fill(1));
  });

  it("gradcheck finds a wrong gradient, and says where", () => {
    class Off extends Cube {
      static override backward(ctx: Context, g: Tensor): Tensor {
        return Cube.backward(ctx, g).mul(1.01);
      }
    }
    const x = leaf([1, 2]);
    expect(() => autograd.gradcheck((t) => Off.apply(t), [x])).toThrow(
      /d\(output 0\[0\]\)\/d\(input 0\[0\]\) is 3\.03/,
    );
    expect(autograd.gradcheck((t) => Off.apply(t), [x], { raise: false })).toBe(false);
    expect(() => autograd.gradcheck((t) => t, [tensor([1], { requiresGrad: true })])).toThrow(
      /must be float64, not float32/,
    );
    expect(() => autograd.gradcheck((t) => t, [tensor([1])])).toThrow(/no input requires a gradient/);
  });
});
