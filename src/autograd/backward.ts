/** `backward` and `grad`: the arguments checked, the roots seeded, the tape run. */
import type { Device } from "../device/device.js";
import { AutogradError, ShapeError, ValueError } from "../errors.js";
import * as a from "../ops/arithmetic.js";
import { full } from "../ops/creation.js";
import { type DType, itemBytes } from "../ops/dtype.js";
import { sameShape, show } from "../ops/shape.js";
import { clone } from "../ops/view.js";
import type { Tensor } from "../tensor/tensor.js";
import { withRegion } from "./region.js";
import { type BackwardOptions, propagate } from "./tape.js";

export interface BackwardArguments {
  /** Keep what the graph saved, so that it can be walked again. */
  retainGraph?: boolean;
  /** Record the backward pass itself, for gradients of gradients. */
  createGraph?: boolean;
}

const services = {
  add: (x: Tensor, y: Tensor): Tensor => a.add.call(x, y),
  hasNaN: (t: Tensor): boolean => t.detach().isnan().any().item() === 1,
  /** A gradient may become a leaf's own only if its memory is nobody else's and all its. */
  claim: (t: Tensor): Tensor => {
    const own = !t.buffer.claimed && t.contiguous_ && t.numel() * itemBytes[t.dtype] === t.buffer.bytes;
    return own ? t : clone(t);
  },
};

/** The four ways to walk a graph, made once. */
const ways = [false, true].map((createGraph) =>
  [false, true].map((retainGraph): BackwardOptions => ({ ...services, createGraph, retainGraph })),
);
function optionsOf(o: BackwardArguments): BackwardOptions {
  const createGraph = o.createGraph ?? false;
  const retainGraph = o.retainGraph ?? createGraph;
  return (ways[createGraph ? 1 : 0] as BackwardOptions[])[retainGraph ? 1 : 0] as BackwardOptions;
}

/** The gradient of a loss by itself, kept from one backward to the next as long as nobody changes it. */
const ones = new WeakMap<Device, Map<DType, Tensor>>();
function one({ device, dtype }: Tensor): Tensor {
  let known = ones.get(device);
  if (known === undefined) {
    known = new Map();
    ones.set(device, known);
  }
  let t = known.get(dtype);
  if (t === undefined || t.buffer.version !== 0) {
    t = withRegion(false, () => full([], 1, { dtype, device }));
    t.buffer.claimed = true;
    t.buffer.version = 0;
    known.set(dtype, t);
  }
  return t;
}

function seed(root: Tensor, gradient: Tensor | null, op: string): Tensor {
  if (!root.requiresGrad) {
    throw new AutogradError(`${op}: the tensor does not require a gradient and was not made from one that does`);
  }
  if (gradient === null) {
    if (root.numel() !== 1) {
      throw new AutogradError(
        `${op}: the gradient is implied only for one element; this root has shape ${show(root.shape)}: pass a gradient`,
      );
    }
    return root.shape.length === 0 ? one(root) : full(root.shape, 1, { dtype: root.dtype, device: root.device });
  }
  if (!sameShape(gradient.shape, root.shape)) {
    throw new ShapeError(`${op}: a gradient of shape ${show(gradient.shape)} for a root of shape ${show(root.shape)}`);
  }
  gradient.buffer.claimed = true;
  return gradient;
}

/** https://pytorch.org/docs/stable/generated/torch.autograd.backward.html */
export function backward(
  roots: readonly Tensor[],
  gradients: readonly (Tensor | null)[],
  o: BackwardArguments = {},
): void {
  const seeds = roots.map((r, i) => seed(r, gradients[i] ?? null, "backward"));
  propagate(roots, seeds, null, optionsOf(o));
  for (const [i, s] of seeds.entries())
    if (gradients[i] === null && !s.buffer.claimed && o.createGraph !== true) s.buffer.release();
  if (o.retainGraph !== true && o.createGraph !== true) roots[0]?.device.engine.backwardEnded?.();
}

export interface GradArguments extends BackwardArguments {
  gradOutputs?: Tensor | readonly (Tensor | null)[];
  /** Inputs the outputs do not depend on give null instead of an error. */
  allowUnused?: boolean;
}

/**
 * d(outputs)/d(inputs), without touching any `.grad`. https://pytorch.org/docs/stable/generated/torch.autograd.grad.html
 *
 * ```ts
 * const x = torch.tensor(3, { requiresGrad: true });
 * const [dx] = torch.autograd.grad(x.mul(x), x, { createGraph: true }); // 6
 * const [ddx] = torch.autograd.grad(dx, x); // 2
 * ```
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  o: GradArguments & { allowUnused: true },
): (Tensor | null)[];
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  o?: GradArguments,
): Tensor[];
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  o: GradArguments = {},
): (Tensor | null)[] {
  const roots = isList(outputs) ? outputs : [outputs];
  const targets = isList(inputs) ? inputs : [inputs];
  const given = o.gradOutputs === undefined ? [] : isList(o.gradOutputs) ? o.gradOutputs : [o.gradOutputs];
  if (given.length > 0 && given.length !== roots.length) {
    throw new ValueError(`grad: ${given.length} gradients for ${roots.length} outputs`);
  }
  for (const t of targets) {
    if (!t.requiresGrad)
      throw new AutogradError(`grad: an input of shape ${show(t.shape)} does not require a gradient`);
  }
  const seeds = roots.map((r, i) => seed(r, given[i] ?? null, "grad"));
  const found = propagate(roots, seeds, targets, optionsOf(o));
  if (o.allowUnused !== true) {
    found.forEach((g, i) => {
      if (g === null) {
        throw new AutogradError(
          `grad: input ${i} of shape ${show((targets[i] as Tensor).shape)} is not used by the outputs; pass { allowUnused: true } for null`,
        );
      }
    });
  }
  return found;
}

const isList = <T>(x: T | readonly T[]): x is readonly T[] => Array.isArray(x);
