/**
 * What a trainer does to gradients between backward and the optimiser's step. The clipping itself is `nn.utils`.
 */
import { ValueError } from "../errors.js";
import { type Module, utils } from "../nn/index.js";

export interface ClippingOptions {
  /** Clamp every entry of the gradients to ± this before each step: `nn.utils.clipGradValue_`. */
  clipGradValue?: number;
  /**
   * Then shorten the model's gradients, taken as one vector, to this norm: `nn.utils.clipGradNorm_`. An object also takes that
   * function's options: `{ maxNorm: 1, normType: Infinity }`.
   */
  clipGradNorm?: number | ({ maxNorm: number } & utils.ClipGradNormOptions);
}

/** The clipping that the options ask for. Throws ValueError for a bound that is none, and for a step that is manual. */
export function clipping(
  model: Module,
  { clipGradValue, clipGradNorm, manual }: ClippingOptions & { manual?: boolean },
): () => void {
  if (manual && (clipGradNorm !== undefined || clipGradValue !== undefined))
    throw new ValueError(
      "Trainer: a manual step clips for itself, by nn.utils.clipGradNorm_ and nn.utils.clipGradValue_",
    );
  const { maxNorm, ...norm } = typeof clipGradNorm === "object" ? clipGradNorm : { maxNorm: clipGradNorm };
  for (const [name, bound] of Object.entries({ clipGradNorm: maxNorm, clipGradValue })) {
    if (bound !== undefined && !(bound >= 0))
      throw new ValueError(`Trainer: ${name} is ${bound}; it must be 0 or more`);
  }
  return () => {
    if (clipGradValue !== undefined) utils.clipGradValue_(model.parameters(), clipGradValue);
    if (maxNorm !== undefined) utils.clipGradNorm_(model.parameters(), maxNorm, norm);
  };
}
