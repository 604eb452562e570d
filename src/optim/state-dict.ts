/**
 * An optimiser's state as PyTorch lays it out and spells it, so that it can be exchanged as it is: `param_groups`, `exp_avg`,
 * and Adam's `step` as a tensor. This is the one place that turns names and values, both ways.
 */
import { StateDictError } from "../errors.js";
import { camelCase, snakeCase } from "../nn/state-dict.js";
import { noGrad, Tensor, tensor } from "../tensor/index.js";

/** What an optimiser remembers of one parameter, by PyTorch's names in camelCase: `momentumBuffer`, `expAvg`, `step`. */
export type ParamState = Record<string, Tensor | number>;

/** A group's options by PyTorch's names (`weight_decay`), and the numbers of its parameters. */
export type SavedGroup = { [option: string]: unknown; params: number[] };

/**
 * An optimiser's state, in PyTorch's layout and spelling. Parameters are numbered through all groups; `state` is keyed by these
 * numbers, and within by PyTorch's names (`exp_avg`). Written to a file it is PyTorch's own.
 */
export interface OptimizerStateDict {
  state: Map<number, ParamState>;
  param_groups: SavedGroup[];
}

/** What is taken over: numbers may be the keys of an object, as JSON has them. */
export type GivenStateDict = Readonly<
  Omit<OptimizerStateDict, "state"> & { state: ReadonlyMap<number, ParamState> | Readonly<Record<number, ParamState>> }
>;

/** The state of one parameter as it is saved. PyTorch counts steps in a tensor. */
export function savedState(kept: Readonly<ParamState>): ParamState {
  return Object.fromEntries(
    Object.entries(kept).map(([name, value]) => [
      snakeCase(name),
      name === "step" && typeof value === "number" ? tensor(value, { dtype: "float32" }) : value,
    ]),
  );
}

/** A group's options as they are saved. */
export function savedGroup(options: Readonly<object>, params: number[]): SavedGroup {
  const entries = Object.entries(options).map(([name, value]): [string, unknown] => [snakeCase(name), value]);
  return { ...Object.fromEntries(entries), params };
}

/** Those options of a saved group that the optimiser knows, in its own spelling. What PyTorch has beyond them is for it alone. */
export function loadedOptions(saved: Readonly<SavedGroup>, known: ReadonlySet<string>): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(saved)) {
    const name = camelCase(key);
    if (name === "params" || !known.has(name)) continue;
    options[name] = value instanceof Tensor ? value.item() : structuredClone(value);
  }
  return options;
}

/** A saved state for its owner: tensors are copied to the owner's dtype and device. */
export function loadedState(where: string, number: number, saved: Readonly<ParamState>, owner: Tensor): ParamState {
  const state: ParamState = {};
  for (const [key, value] of Object.entries(saved)) {
    const name = camelCase(key);
    if (value === null || value === undefined) continue;
    if (!(value instanceof Tensor)) state[name] = value;
    else if (name === "step" && value.numel() === 1) state[name] = value.item();
    else if (value.numel() === 1 || value.shape.join() === owner.shape.join()) {
      state[name] = noGrad(() => value.detach().to({ dtype: owner.dtype, device: owner.device }).clone());
    } else {
      throw new StateDictError(
        `${where}: ${key} of parameter ${number} has shape (${value.shape.join(", ")}), ` +
          `the parameter (${owner.shape.join(", ")})`,
      );
    }
  }
  return state;
}

/** The saved states by number. */
export function statesOf({ state }: GivenStateDict): Iterable<[number, ParamState]> {
  if (state instanceof Map) return state;
  return Object.entries(state).map(([number, kept]: [string, ParamState]) => [Number(number), kept]);
}
