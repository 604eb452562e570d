/**
 * Which layers are known to keep neither their input nor their output. Between two of them an activation belongs to nobody
 * but the graph, so its memory can be reused as soon as the graph is done with it.
 */
import { passing } from "../autograd/tape.js";
import type { Tensor } from "../tensor/index.js";
import { ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh } from "./activation.js";
import { BatchNorm2d, GroupNorm } from "./batchnorm.js";
import { Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d } from "./convolution.js";
import { Flatten, Unflatten } from "./flatten.js";
import { Identity, Linear } from "./linear.js";
import type { Layer } from "./module.js";
import { LayerNorm } from "./normalization.js";
import {
  AdaptiveAvgPool1d,
  AdaptiveAvgPool2d,
  AdaptiveMaxPool1d,
  AdaptiveMaxPool2d,
  AvgPool1d,
  AvgPool2d,
  AvgPool3d,
  MaxPool1d,
  MaxPool2d,
  MaxPool3d,
} from "./pooling.js";

// A hook or a subclass with a forward of its own changes the function, and with it the answer.
const keepNothing: ReadonlySet<unknown> = new Set(
  [
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    // the three batch norms share one forward
    BatchNorm2d,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    ELU,
    Flatten,
    GELU,
    GroupNorm,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
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
