/**
 * What steps give, and how it becomes the figures of an epoch. When steps are taken is the trainer's business.
 */
import { ValueError } from "../errors.js";
import { isTensor, type Tensor } from "../tensor/index.js";

/** What a step gives: the loss, or the loss with figures to be averaged over the epoch. */
export type StepResult = Tensor | ({ loss: Tensor } & Record<string, Tensor | number>);

/** The figures of a step: `loss`, and what else it gave. */
export type StepFigures = { loss: number } & Record<string, number>;

/** Running means of the figures that steps give, each weighted by the size of its batch. */
export class Sums {
  readonly #sums: Map<string, [sum: number, weight: number]>;

  constructor(saved: Readonly<Record<string, readonly [number, number]>> = {}) {
    this.#sums = new Map(Object.entries(saved).map(([name, [sum, weight]]) => [name, [sum, weight]]));
  }

  /** Takes a step's figures in, and gives them as numbers. */
  add(result: StepResult, weight: number): StepFigures {
    const loss = lossOf(result).item();
    const others = isTensor(result) ? [] : Object.entries(result).filter(([name]) => name !== "loss");
    const figures: StepFigures = { loss };
    for (const [name, value] of others) figures[name] = typeof value === "number" ? value : value.item();
    for (const [name, value] of Object.entries(figures)) {
      const sum = this.#sums.get(name) ?? [0, 0];
      sum[0] += weight * value;
      sum[1] += weight;
      this.#sums.set(name, sum);
    }
    return figures;
  }

  means(): Record<string, number> {
    return Object.fromEntries([...this.#sums].map(([name, [sum, weight]]) => [name, sum / weight]));
  }

  stateDict(): object {
    return Object.fromEntries([...this.#sums].map(([name, pair]) => [name, [...pair]]));
  }
}

export function lossOf(result: StepResult): Tensor {
  const loss = isTensor(result) ? result : result?.loss;
  if (!isTensor(loss) || loss.numel() !== 1)
    throw new ValueError("Trainer: step must give the loss, a tensor of one element");
  return loss;
}

/** How many items a batch holds: the first size of the first tensor in it; 1 where there is none. */
export function sizeOf(batch: unknown): number {
  if (isTensor(batch)) return batch.shape[0] ?? 1;
  if (typeof batch !== "object" || batch === null) return 1;
  const tensor = Object.values(batch).find(isTensor);
  return tensor?.shape[0] ?? 1;
}

/** A loader's `length`; a stream's loader throws when it is asked. */
export function lengthOf(loader: object): number | undefined {
  try {
    const { length } = loader as { length?: unknown };
    return typeof length === "number" ? length : undefined;
  } catch {
    return undefined;
  }
}
