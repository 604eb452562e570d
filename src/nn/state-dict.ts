/**
 * State dicts: a module's tensors by path, out and in. Files are the business of io/; this is the exchange in memory.
 */
import { StateDictError } from "../errors.js";
import { noGrad, type Tensor } from "../tensor/index.js";

/** Tensors by path, such as `model.0.weight`, in the module's order. */
export type StateDict = Record<string, Tensor>;

/** What `loadStateDict` did not find or did not use. Both are empty when strict. */
export interface LoadResult {
  missingKeys: string[];
  unexpectedKeys: string[];
}

/** @internal */
export function collectStateDict(state: Iterable<[string, Tensor]>): StateDict {
  const dict: StateDict = {};
  for (const [name, tensor] of state) dict[name] = tensor.detach();
  return dict;
}

/** @internal Checks everything, then copies: a failed load leaves the module as it was. */
export function loadStateDict(
  moduleName: string,
  state: Iterable<[string, Tensor]>,
  given: Readonly<StateDict>,
  strict: boolean,
): LoadResult {
  const own = new Map(state);
  const missingKeys = [...own.keys()].filter((name) => !Object.hasOwn(given, name));
  const unexpectedKeys = Object.keys(given).filter((name) => !own.has(name));
  const problems: string[] = [];
  if (strict && missingKeys.length > 0) problems.push(`missing keys: ${missingKeys.join(", ")}`);
  if (strict && unexpectedKeys.length > 0) problems.push(`unexpected keys: ${unexpectedKeys.join(", ")}`);
  const copies: [to: Tensor, from: Tensor][] = [];
  for (const [name, tensor] of own) {
    const source = Object.hasOwn(given, name) ? given[name] : undefined;
    if (!source) continue;
    copies.push([tensor, source]);
    if (!sameShape(tensor.shape, source.shape)) {
      problems.push(
        `size mismatch for ${name}: the state dict has ${show(source.shape)}, the module ${show(tensor.shape)}`,
      );
    }
  }
  if (problems.length > 0) {
    throw new StateDictError(`loadStateDict: ${moduleName} and the state dict differ:\n  ${problems.join("\n  ")}`);
  }
  noGrad(() => {
    for (const [to, from] of copies) to.copy_(from);
  });
  return { missingKeys, unexpectedKeys };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

function show(shape: readonly number[]): string {
  return `(${shape.join(", ")})`;
}
