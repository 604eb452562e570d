/**
 * `nn`: modules, losses and what they are made of. Everything here is composed from tensor operations; no kernel and no
 * engine is named.
 */
export { ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh } from "./activation.js";
export {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type BatchNormModuleOptions,
  GroupNorm,
} from "./batchnorm.js";
export { ModuleDict, ModuleList, ParameterList, Sequential } from "./containers.js";
export {
  Conv1d,
  Conv2d,
  Conv3d,
  type ConvModuleOptions,
  ConvTranspose1d,
  ConvTranspose2d,
  ConvTranspose3d,
  type ConvTransposeModuleOptions,
} from "./convolution.js";
export { Dropout } from "./dropout.js";
export { Embedding, type EmbeddingOptions } from "./embedding.js";
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
export {
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
export type { LoadResult, StateDict } from "./state-dict.js";
export * as utils from "./utils.js";
