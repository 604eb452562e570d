/** Dropout and one-hot codes: operations that modules need beside arithmetic. */
import { DTypeError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { positionsLike } from "./creation.js";
import { isInteger } from "./dtype.js";
import { type Generator, randLike } from "./random.js";
import { cast, unsqueeze } from "./view.js";

/** Zeroes entries with probability p and scales the rest by 1/(1−p), while training. */
export function dropout(x: Tensor, p = 0.5, training = true, generator?: Generator): Tensor {
  if (!(p >= 0 && p <= 1)) throw new ValueError(`dropout: probability ${p} is not in [0, 1]`);
  if (!training || p === 0) return x;
  if (p === 1) return a.mul.call(x, 0);
  const keep = a.ge.call(
    randLike(x.detach(), { dtype: "float32", ...(generator === undefined ? {} : { generator }) }),
    p,
  );
  return a.mul.call(x, a.div.call(cast(keep, x.dtype), 1 - p));
}

/** 1 at the label, 0 elsewhere, in a new last dimension (int32). */
export function oneHot(labels: Tensor, numClasses = -1): Tensor {
  if (!isInteger(labels.dtype)) throw new DTypeError(`oneHot: labels are integers, not ${labels.dtype}`);
  const highest = labels.numel() === 0 ? -1 : labels.amax().item();
  const lowest = labels.numel() === 0 ? 0 : labels.amin().item();
  const classes = numClasses === -1 ? highest + 1 : numClasses;
  if (classes < 1) throw new ValueError(`oneHot: ${numClasses} classes for no labels; give numClasses`);
  if (lowest < 0 || highest >= classes) {
    throw new ValueError(`oneHot: label ${lowest < 0 ? lowest : highest} is not in 0 … ${classes - 1}`);
  }
  return cast(a.eq.call(unsqueeze(labels, -1), positionsLike(classes, labels)), "int32");
}
