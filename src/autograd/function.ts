/** Operations of the user's own. https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function */
import { AutogradError } from "../errors.js";
import { isFloating } from "../ops/dtype.js";
import { sameShape, show } from "../ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { noGrad } from "./mode.js";
import { record, records } from "./tape.js";

/** What `forward` leaves for `backward`. */
export interface FunctionContext {
  saveForBackward(...tensors: Tensor[]): void;
  readonly savedTensors: Tensor[];
  /** True for inputs whose gradient is wanted. */
  readonly needsInputGrad: readonly boolean[];
  /** Anything else. */
  [key: string]: unknown;
}

type Argument = Tensor | number | string | boolean | null | undefined | object;

/**
 * Extend it with static `forward(ctx, …)` and `backward(ctx, …grads)` and call `apply`.
 *
 * ```ts
 * class Cube extends torch.autograd.Function {
 *   static forward(ctx: torch.autograd.FunctionContext, x: torch.Tensor) {
 *     ctx.saveForBackward(x);
 *     return x.pow(3);
 *   }
 *   static backward(ctx: torch.autograd.FunctionContext, g: torch.Tensor) {
 *     const [x] = ctx.savedTensors;
 *     return g.mul(x!.pow(2)).mul(3);
 *   }
 * }
 * const y = Cube.apply(torch.tensor(2, { requiresGrad: true }));
 * ```
 */
export abstract class Function {
  static forward(_ctx: FunctionContext, ..._args: never[]): Tensor | Tensor[] {
    throw new AutogradError(`${this.name}: has no static forward`);
  }
  static backward(_ctx: FunctionContext, ..._grads: never[]): Tensor | null | (Tensor | null)[] {
    throw new AutogradError(`${this.name}: has no static backward`);
  }

  static apply<F extends typeof Function>(this: F, ...args: Argument[]): ReturnType<F["forward"]> {
    const inputs = args.map((x) => (isTensor(x) ? x : null));
    let saved: Tensor[] = [];
    const context: FunctionContext = {
      needsInputGrad: inputs.map((t) => t?.requiresGrad ?? false),
      saveForBackward: (...tensors) => {
        saved = tensors;
      },
      get savedTensors(): Tensor[] {
        return saved;
      },
    };
    const recorded = records(inputs);
    const made = noGrad(() => this.forward(context, ...(args as never[])));
    const results = (Array.isArray(made) ? made : [made]).map((t) => (inputs.includes(t) ? t.detach() : t));
    if (recorded && results.some((t) => isFloating(t.dtype))) {
      const node = record(this.name, inputs, results, saved, (grads, n) => {
        const kept = saved.map((_, i) => n.input(i));
        saved = kept;
        const full = grads.map((g, i) => g ?? zeros(results[i] as Tensor));
        // The user's code may keep them.
        for (const g of full) g.buffer.claimed = true;
        const out = this.backward(context, ...(full as never[]));
        const list = Array.isArray(out) ? out : [out];
        if (list.length > inputs.length) {
          throw new AutogradError(`${this.name}.backward: gave ${list.length} gradients for ${inputs.length} inputs`);
        }
        list.forEach((g, i) => {
          const t = inputs[i];
          if (g !== null && t !== null && t !== undefined && !sameShape(g.shape, t.shape)) {
            throw new AutogradError(
              `${this.name}.backward: gradient ${i} has shape ${show(g.shape)}; its input has ${show(t.shape)}`,
            );
          }
          if (g !== null) g.buffer.claimed = true;
        });
        return inputs.map((_, i) => list[i] ?? null);
      });
      node.foreign = true;
    }
    return (Array.isArray(made) ? results : results[0]) as ReturnType<F["forward"]>;
  }
}

const isTensor = (x: unknown): x is Tensor => typeof x === "object" && x !== null && "gradFn" in x && "buffer" in x;
const zeros = (t: Tensor): Tensor => t.detach().clone().zero_();
