/**
 * The three operations that convolutions and their transposes are made of. Each is linear in both of its operands, so that the
 * gradients of each are the other two, to any order:
 *
 *   correlate(x, w) → y,   spread(y, w) → x,   weigh(y, x) → w
 *
 * `spread` with a stride is one correlation for each position modulo the stride, each with the taps that reach it: no zeros
 * are inserted and none multiplied. What the kernels do with it is in kernel/convolution.ts. Tensors have five dimensions here.
 */
import { record, records } from "../autograd/tape.js";
import { geometry, weightParts } from "../kernel/convolution.js";
import type { ConvolutionKernel } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { sum } from "./broadcast.js";
import { backwardPlans, type Filter, forwardPlan, type Plan } from "./convolution-plan.js";
import { emptyTensor } from "./core.js";
import { standsApart, weighApart } from "./depthwise.js";
import { Executables } from "./executables.js";
import { launch } from "./launch.js";
import { numelOf, type Shape } from "./shape.js";
import { contiguous, fill, reshape } from "./view.js";

const executables = new Executables();

function run(
  pass: ConvolutionKernel["pass"],
  plan: Plan,
  x: Tensor,
  w: Tensor,
  y: Tensor,
  bias: Tensor | null,
  units: number,
): void {
  const { engine } = x.device;
  const type = x.dtype as "float32" | "float64";
  const e = executables.get(engine, `${pass}${type}${bias !== null}`, () => {
    return { kind: "convolution", name: pass, type, pass, bias: bias !== null };
  });
  const operands = bias === null ? [x, w, y, plan.taps] : [x, w, y, plan.taps, bias];
  const offsets = operands.map((t) => t.offset);
  if (pass === "correlate") offsets[2] = y.offset + plan.offset;
  launch(
    engine,
    e,
    operands.map((t) => t.buffer),
    offsets,
    plan.numbers,
    plan.numbers.length,
    units,
    0,
  );
}

/** x (b, C, …) and w (M, C/groups, …) to y of the given shape, plus the bias. */
export function correlate(x: Tensor, w: Tensor, bias: Tensor | null, f: Filter, to: Shape): Tensor {
  const y = emptyTensor(to, x.dtype, x.device);
  if (y.numel() > 0) {
    const [a, b] = [contiguous(x.detach()), contiguous(w.detach())];
    run("correlate", forwardPlan(a, b.shape, to, f), a, b, y, bias === null ? null : contiguous(bias.detach()), 1);
  }
  if (records([x, w, bias])) {
    record("convolution", [x, w, bias], [y], [w.requiresGrad ? x : null, x.requiresGrad ? w : null], ([grad], node) => {
      const g = grad as Tensor;
      return [
        x.requiresGrad ? spread(g, node.input(1), null, f, x.shape) : null,
        w.requiresGrad ? weigh(g, node.input(0), f, w.shape) : null,
        bias?.requiresGrad === true ? sum(g, [0, 2, 3, 4]) : null,
      ];
    });
  }
  return y;
}

/** The transpose of `correlate` in x: y (b, M, …) and w to x of the given shape, plus the bias. */
export function spread(y: Tensor, w: Tensor, bias: Tensor | null, f: Filter, to: Shape): Tensor {
  const x = emptyTensor(to, y.dtype, y.device);
  if (x.numel() > 0) {
    const [a, b] = [contiguous(y.detach()), contiguous(w.detach())];
    const c = bias === null ? null : contiguous(bias.detach());
    for (const plan of backwardPlans(a, b.shape, to, f)) run("correlate", plan, a, b, x, c, 1);
  }
  if (records([y, w, bias])) {
    record(
      "convolutionTranspose",
      [y, w, bias],
      [x],
      [w.requiresGrad ? y : null, y.requiresGrad ? w : null],
      ([grad], node) => {
        const g = grad as Tensor;
        return [
          y.requiresGrad ? correlate(g, node.input(1), null, f, y.shape) : null,
          w.requiresGrad ? weigh(node.input(0), g, f, w.shape) : null,
          bias?.requiresGrad === true ? sum(g, [0, 2, 3, 4]) : null,
        ];
      },
    );
  }
  return x;
}

/** The transpose of `correlate` in w. */
function weigh(y: Tensor, x: Tensor, f: Filter, to: Shape): Tensor {
  let w: Tensor;
  if (numelOf(to) === 0 || y.numel() === 0 || x.numel() === 0) {
    w = emptyTensor(to, y.dtype, y.device);
    fill(w, 0);
  } else if (standsApart(to, f)) {
    w = weighApart(y.detach(), x.detach(), f, to);
  } else {
    const [a, b] = [contiguous(x.detach()), contiguous(y.detach())];
    const plan = forwardPlan(a, to, b.shape, f);
    const parts = weightParts(geometry(plan.numbers), y.device.engine.threads);
    const sums = emptyTensor([parts, ...to], y.dtype, y.device);
    run("weights", plan, a, sums, b, null, f.groups * parts);
    w = parts === 1 ? reshape(sums, to) : sum(sums, 0);
  }
  if (records([y, x])) {
    record("convolutionWeight", [y, x], [w], [x.requiresGrad ? y : null, y.requiresGrad ? x : null], ([grad], node) => {
      const g = grad as Tensor;
      return [
        y.requiresGrad ? correlate(node.input(1), g, null, f, y.shape) : null,
        x.requiresGrad ? spread(node.input(0), g, null, f, x.shape) : null,
      ];
    });
  }
  return w;
}
