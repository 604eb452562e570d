/**
 * Modules that hold other modules: in a chain, in a list, by name. Plain arrays of modules in a field work as well;
 * these add a forward, or names of their own.
 */
import { IndexError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import { type Layer, Module } from "./module.js";
import { Parameter } from "./parameter.js";
import { chain } from "./passing.js";

/** The element at `index`, counted from the end when negative. */
function elementAt<T>(what: string, items: readonly T[], index: number): T {
  const item = items.at(index);
  if (item === undefined || !Number.isInteger(index)) {
    throw new IndexError(`${what}: index ${index} is out of range for ${items.length} elements`);
  }
  return item;
}

/**
 * Layers in a chain: each one's output is the next one's input. Layers are named by position, or by the keys of an
 * object (keys that look like integers come first, in JavaScript's order).
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const model = new nn.Sequential(new nn.Linear(4, 3), new nn.ReLU());
 * console.log(model.forward(torch.ones([2, 4])).shape); // [2, 3]
 * const named = new nn.Sequential({ hidden: new nn.Linear(4, 3), activation: new nn.ReLU() });
 * console.log(Object.keys(named.stateDict())); // hidden.weight, hidden.bias
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Sequential.html}
 */
export class Sequential extends Module {
  readonly #layers = new Map<string, Layer>();

  constructor(...layers: Layer[] | [Record<string, Layer>]) {
    super();
    const [first] = layers;
    if (layers.length === 1 && first !== undefined && !(first instanceof Module)) {
      for (const [name, layer] of Object.entries(first)) this.#add(name, layer);
    } else {
      for (const layer of layers as Layer[]) this.append(layer);
    }
  }

  #add(name: string, layer: Layer): void {
    if (!(layer instanceof Module)) throw new ValueError(`Sequential: "${name}" is not a module`);
    this.#layers.set(name, layer);
  }

  protected override *fields(): Iterable<[string, unknown]> {
    yield* this.#layers;
    yield* super.fields();
  }

  protected override stateKey(name: string): string {
    return this.#layers.has(name) ? name : super.stateKey(name);
  }

  /** How many layers there are. */
  get length(): number {
    return this.#layers.size;
  }

  /** The layer at a position; negative positions count from the end. */
  at(index: number): Layer {
    return elementAt("Sequential", [...this.#layers.values()], index);
  }

  /** Adds a layer at the end. */
  append(layer: Layer): this {
    this.#add(String(this.#layers.size), layer);
    return this;
  }

  [Symbol.iterator](): IterableIterator<Layer> {
    return this.#layers.values();
  }

  forward(input: Tensor): Tensor {
    return chain(this.#layers.values(), input);
  }
}

/**
 * A list of modules, named by position. It computes nothing itself; a module that holds it runs its elements.
 *
 * ```ts
 * import { nn } from "cresset";
 *
 * const list = new nn.ModuleList([new nn.Linear(4, 3), new nn.Linear(3, 2)]);
 * console.log(list.length, list.at(-1).outFeatures); // 2 2
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleList.html}
 */
export class ModuleList<M extends Module = Module> extends Module {
  readonly #items: M[];

  constructor(modules: Iterable<M> = []) {
    super();
    this.#items = [...modules];
  }

  protected override *fields(): Iterable<[string, unknown]> {
    for (const [i, module] of this.#items.entries()) yield [String(i), module];
    yield* super.fields();
  }

  get length(): number {
    return this.#items.length;
  }

  /** The module at a position; negative positions count from the end. */
  at(index: number): M {
    return elementAt("ModuleList", this.#items, index);
  }

  /** Adds a module at the end. */
  append(module: M): this {
    this.#items.push(module);
    return this;
  }

  /** Adds modules at the end. */
  extend(modules: Iterable<M>): this {
    this.#items.push(...modules);
    return this;
  }

  [Symbol.iterator](): IterableIterator<M> {
    return this.#items.values();
  }

  /** A list has no forward: throws ValueError. */
  forward(): never {
    throw new ValueError("ModuleList: a list computes nothing; run its elements, or use Sequential");
  }
}

/**
 * Modules by name.
 *
 * ```ts
 * import { nn } from "cresset";
 *
 * const heads = new nn.ModuleDict({ digit: new nn.Linear(8, 10), parity: new nn.Linear(8, 2) });
 * console.log(heads.get("parity").outFeatures, [...heads.keys()]); // 2 [ 'digit', 'parity' ]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleDict.html}
 */
export class ModuleDict<M extends Module = Module> extends Module {
  readonly #items: Map<string, M>;

  constructor(modules: Readonly<Record<string, M>> = {}) {
    super();
    this.#items = new Map(Object.entries(modules));
  }

  protected override *fields(): Iterable<[string, unknown]> {
    yield* this.#items;
    yield* super.fields();
  }

  protected override stateKey(name: string): string {
    return this.#items.has(name) ? name : super.stateKey(name);
  }

  get size(): number {
    return this.#items.size;
  }

  /** The module of that name. Throws ValueError where there is none. */
  get(name: string): M {
    const module = this.#items.get(name);
    if (!module) throw new ValueError(`ModuleDict: no module "${name}"; it has ${[...this.#items.keys()].join(", ")}`);
    return module;
  }

  set(name: string, module: M): this {
    this.#items.set(name, module);
    return this;
  }

  has(name: string): boolean {
    return this.#items.has(name);
  }

  delete(name: string): boolean {
    return this.#items.delete(name);
  }

  keys(): IterableIterator<string> {
    return this.#items.keys();
  }

  values(): IterableIterator<M> {
    return this.#items.values();
  }

  [Symbol.iterator](): IterableIterator<[string, M]> {
    return this.#items.entries();
  }

  /** A dictionary has no forward: throws ValueError. */
  forward(): never {
    throw new ValueError("ModuleDict: a dictionary computes nothing; run its elements");
  }
}

/**
 * A list of parameters, named by position. Plain tensors become parameters.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const list = new nn.ParameterList([torch.ones([2]), torch.zeros([3])]);
 * console.log(list.namedParameters().map(([name]) => name)); // [ '0', '1' ]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.ParameterList.html}
 */
export class ParameterList extends Module {
  readonly #items: Parameter[];

  constructor(values: Iterable<Tensor> = []) {
    super();
    this.#items = Array.from(values, asParameter);
  }

  protected override *fields(): Iterable<[string, unknown]> {
    for (const [i, parameter] of this.#items.entries()) yield [String(i), parameter];
    yield* super.fields();
  }

  get length(): number {
    return this.#items.length;
  }

  /** The parameter at a position; negative positions count from the end. */
  at(index: number): Parameter {
    return elementAt("ParameterList", this.#items, index);
  }

  /** Adds a parameter at the end. */
  append(value: Tensor): this {
    this.#items.push(asParameter(value));
    return this;
  }

  [Symbol.iterator](): IterableIterator<Parameter> {
    return this.#items.values();
  }

  /** A list has no forward: throws ValueError. */
  forward(): never {
    throw new ValueError("ParameterList: a list computes nothing; use its elements");
  }
}

function asParameter(value: Tensor): Parameter {
  return value instanceof Parameter ? value : new Parameter(value);
}
