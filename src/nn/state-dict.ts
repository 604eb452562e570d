/**
 * State dicts: a module's tensors by key, out and in. Files are the business of io/; this is the exchange in memory. Keys are
 * PyTorch's, because a state dict is what goes to and fro between the two: fields are spelt in Python's manner
 * (`runningMean` is `running_mean`). This is the one place that turns names.
 */
import { StateDictError } from "../errors.js";
import { noGrad, Tensor } from "../tensor/index.js";

/** Tensors by key, such as `model.0.running_mean`, in the module's order. */
export type StateDict = Record<string, Tensor>;

/** What `loadStateDict` did not find or did not use. Both are empty when strict. */
export interface LoadResult {
  missingKeys: string[];
  unexpectedKeys: string[];
}

/** @internal A name as Python spells it: `layerNorm2` becomes `layer_norm2`; names that begin with a capital keep it. */
export const snakeCase = (name: string): string =>
  name.replace(/([a-z0-9])([A-Z]+)/g, (_, before: string, capitals: string) => `${before}_${capitals.toLowerCase()}`);

/** @internal A name as TypeScript spells it: `exp_avg_sq` becomes `expAvgSq`. */
export const camelCase = (name: string): string =>
  name.replace(/(?<=[a-z0-9])_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** @internal */
export function collectStateDict(state: Iterable<[string, Tensor]>): StateDict {
  const dict: StateDict = {};
  for (const [name, tensor] of state) dict[name] = tensor.detach();
  return dict;
}

/** @internal Mistakes that types do not always stop: `torch.load` without `await`, a checkpoint's key that is not there. */
export function checkStateDict(where: string, given: unknown): void {
  if (given instanceof Promise) throw new StateDictError(`${where}: a promise was given; await torch.load(…) first`);
  if (typeof given !== "object" || given === null || given instanceof Tensor) {
    const what = given instanceof Tensor ? "a tensor" : String(given);
    throw new StateDictError(`${where}: expected a state dict, not ${what}`);
  }
}

/** @internal Checks everything, then copies: a failed load leaves the module as it was. */
export function loadStateDict(
  moduleName: string,
  state: Iterable<[string, Tensor]>,
  given: Readonly<StateDict>,
  strict: boolean,
): LoadResult {
  checkStateDict("loadStateDict", given);
  const own = new Map(state);
  const { found, unexpectedKeys } = match([...own.keys()], Object.keys(given));
  const missingKeys = [...own.keys()].filter((name) => !found.has(name));
  const problems: string[] = [];
  if (strict && missingKeys.length > 0) problems.push(`missing keys: ${missingKeys.join(", ")}`);
  if (strict && unexpectedKeys.length > 0) problems.push(`unexpected keys: ${unexpectedKeys.join(", ")}`);
  const copies: [to: Tensor, from: Tensor][] = [];
  for (const [name, tensor] of own) {
    const key = found.get(name);
    const source = key === undefined ? undefined : given[key];
    if (source === undefined) continue;
    if (!(source instanceof Tensor)) {
      problems.push(`${name} is not a tensor in the state dict, but ${source === null ? "null" : typeof source}`);
      continue;
    }
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

/** Which given key is whose: the same one, or one that differs in spelling alone, as a field named `myLayer` in Python. */
function match(own: readonly string[], given: readonly string[]) {
  const found = new Map<string, string>();
  const exact = new Set(own);
  for (const key of given) if (exact.has(key)) found.set(key, key);
  const spelt = new Map(own.filter((name) => !found.has(name)).map((name) => [snakeCase(name), name]));
  const unexpectedKeys: string[] = [];
  for (const key of given) {
    if (exact.has(key)) continue;
    const name = spelt.get(snakeCase(key));
    if (name === undefined || found.has(name)) unexpectedKeys.push(key);
    else found.set(name, key);
  }
  return { found, unexpectedKeys };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

function show(shape: readonly number[]): string {
  return `(${shape.join(", ")})`;
}
