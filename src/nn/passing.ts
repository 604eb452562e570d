/**
 * Which layers are known to keep neither their input nor their output. Between two of them an activation belongs to nobody
 * but the graph, so its memory can be reused as soon as the graph is done with it.
 */
import { passing } from "../autograd/tape.js";
import type { Tensor } from "../tensor/index.js";
import { ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh } from "./activation.js";
import { Flatten, Unflatten } from "./flatten.js";
import { Identity, Linear } from "./linear.js";
import type { Layer } from "./module.js";
import { LayerNorm } from "./normalization.js";

// A hook or a subclass with a forward of its own changes the function, and with it the answer.
const keepNothing: ReadonlySet<unknown> = new Set(
  [
    ELU,
    Flatten,
    GELU,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    Unflatten,
  ].map((layer) => layer.prototype.forward),
);

/** Runs layers one after another. */
export function chain(layers: Iterable<Layer>, input: Tensor): Tensor {
  let x = input;
  let ours = false;
  for (const layer of layers) {
    const trusted = keepNothing.has(layer.forward);
    const y = layer.forward(x);
    if (ours && trusted) passing(x, y);
    // What shares memory with the caller's input, or with what another layer has seen, is not ours.
    ours = trusted && (ours || y.buffer !== x.buffer);
    x = y;
  }
  return x;
}
