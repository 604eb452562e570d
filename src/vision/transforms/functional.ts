/** Transforms as functions, with their parameters given: `transforms.functional`. */
export { type AffineOptions, type AffineParameters, affine, rotate } from "./affine.js";
export {
  adjustBrightness,
  adjustContrast,
  adjustHue,
  adjustSaturation,
  normalize,
  rgbToGrayscale,
  toDtype,
} from "./color.js";
export {
  centerCrop,
  crop,
  horizontalFlip,
  type Interpolation,
  type ResizeOptions,
  resize,
  resizedCrop,
  type Size,
  verticalFlip,
} from "./resize.js";
