/** Tensors and the functions that make, join and choose them. */
export { enableGrad, inferenceMode, isGradEnabled, noGrad, setGradEnabled } from "../autograd/mode.js";
export {
  type DeviceLike,
  defaultDevice,
  device,
  getDefaultDevice,
  setDefaultDevice,
} from "../device/index.js";
export {
  arange,
  empty,
  emptyLike,
  eye,
  fromBytes,
  fromTypedArray,
  full,
  fullLike,
  linspace,
  logspace,
  type NestedArray,
  ones,
  onesLike,
  type TensorOptions,
  type TypedArray,
  tensor,
  zeros,
  zerosLike,
} from "../ops/creation.js";
export { type DType, getDefaultDType, promoteTypes, setDefaultDType } from "../ops/dtype.js";
export type { Operand } from "../ops/elementwise.js";
export type { Index } from "../ops/indexing.js";
export {
  bernoulli,
  defaultGenerator,
  Generator,
  manualSeed,
  multinomial,
  type RandomOptions,
  rand,
  randint,
  randLike,
  randn,
  randnLike,
  randperm,
} from "../ops/random.js";
export type { Shape } from "../ops/shape.js";
export { cat, stack } from "../ops/view.js";
export * from "./functions.js";
export { readBytes } from "./read.js";
export { isTensor, Tensor } from "./tensor.js";
