/** `transforms` of `cresset/vision`: torchvision's v2 transforms, on tensors. */
export * as functional from "./functional.js";
export {
  type ChanceOptions,
  ColorJitter,
  type ColorJitterOptions,
  RandomAffine,
  type RandomAffineOptions,
  RandomApply,
  RandomCrop,
  RandomGrayscale,
  RandomHorizontalFlip,
  RandomResizedCrop,
  RandomRotation,
  RandomVerticalFlip,
  type Range,
} from "./random.js";
export type { Interpolation, ResizeOptions, Size } from "./resize.js";
export {
  type AnyTransform,
  CenterCrop,
  Compose,
  Grayscale,
  Lambda,
  Normalize,
  Resize,
  ToDtype,
  ToTensor,
  Transform,
} from "./transform.js";
