/** Dropout and one-hot codes: operations that modules need beside arithmetic. */
import { DTypeError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { capturing } from "./capture.js";
import { positionsLike } from "./creation.js";
import { isInteger } from "./dtype.js";
import { extremes } from "./offsets.js";
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
  if (numClasses !== -1 && !(Number.isSafeInteger(numClasses) && numClasses > 0)) {
    throw new ValueError(`oneHot: numClasses is ${numClasses}; it must be a whole number above 0, or -1`);
  }
  const check = (classes: number, [lowest, highest]: readonly number[]): void => {
    if ((lowest as number) >= 0 && (highest as number) < classes) return;
    throw new ValueError(`oneHot: label ${(lowest as number) < 0 ? lowest : highest} is not in 0 … ${classes - 1}`);
  };
  let classes = numClasses;
  if (labels.numel() > 0) {
    const found = extremes(labels);
    const capture = capturing();
    // With the number of classes given, labels are only checked, and that can be recorded.
    if (capture !== null && classes !== -1) capture.inspect(found, (numbers) => check(classes, numbers));
    else {
      const numbers = found.map((t) => t.item());
      if (classes === -1) classes = (numbers[1] as number) + 1;
      check(classes, numbers);
    }
  }
  if (classes === -1) throw new ValueError("oneHot: there are no labels to count the classes by; give numClasses");
  return cast(a.eq.call(unsqueeze(labels, -1), positionsLike(classes, labels)), "int32");
}
