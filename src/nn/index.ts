/**
 * `nn`: modules, losses and what they are made of. Everything here is composed from tensor operations; no kernel and no
 * engine is named.
 */
export { ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh } from "./activation.js";
export { ModuleDict, ModuleList, ParameterList, Sequential } from "./containers.js";
export { Dropout } from "./dropout.js";
export { Flatten, Unflatten } from "./flatten.js";
export * as functional from "./functional.js";
export type { ForwardHook, ForwardPreHook } from "./hooks.js";
export * as init from "./init.js";
export { type FactoryOptions, Identity, Linear } from "./linear.js";
export {
  BCELoss,
  BCEWithLogitsLoss,
  CrossEntropyLoss,
  L1Loss,
  MSELoss,
  NLLLoss,
  type Reduction,
  SmoothL1Loss,
} from "./loss.js";
export { type Layer, Module, type ToTarget } from "./module.js";
export { LayerNorm } from "./normalization.js";
export { Parameter } from "./parameter.js";
export type { LoadResult, StateDict } from "./state-dict.js";
