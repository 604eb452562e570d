/** Activations as functions, by the names of torch.nn.functional. */
import { ValueError } from "../errors.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";

export const relu = (x: Tensor): Tensor => a.relu.call(x);
export const leakyRelu = (x: Tensor, slope = 0.01): Tensor => a.leakyRelu.call(x, slope);
export const sigmoid = (x: Tensor): Tensor => a.sigmoid.call(x);
export const tanh = (x: Tensor): Tensor => a.tanh.call(x);
export const silu = (x: Tensor): Tensor => a.silu.call(x);
export const elu = (x: Tensor, alpha = 1): Tensor => a.elu.call(x, alpha);
export const softplus = (x: Tensor, beta = 1, threshold = 20): Tensor => a.softplus.call(x, beta, threshold);
export const logsigmoid = (x: Tensor): Tensor => a.logsigmoid.call(x);
export function gelu(x: Tensor, o: { approximate?: "none" | "tanh" } = {}): Tensor {
  const how = o.approximate ?? "none";
  if (how !== "none" && how !== "tanh")
    throw new ValueError(`gelu: approximate '${String(how)}' is not "none" or "tanh"`);
  return how === "tanh" ? a.geluTanh.call(x) : a.gelu.call(x);
}
