/**
 * Module: a tree of named parts with learnable state. It finds parameters, buffers and submodules where a TypeScript
 * author puts them, in plain fields and arrays, so nothing needs registering but buffers. What the parts compute is
 * theirs; reading and writing state dicts is in state-dict.ts, hooks are in hooks.ts.
 */
import { isDeferred } from "../autograd/tape.js";
import { Device } from "../device/index.js";
import { DTypeError, ValueError } from "../errors.js";
import { capturing, structureChanged } from "../ops/capture.js";
import { dtypes, isFloating } from "../ops/index.js";
import { type DeviceLike, type DType, noGrad, Tensor } from "../tensor/index.js";
import { addHook, type ForwardHook, type ForwardPreHook } from "./hooks.js";
import { Parameter } from "./parameter.js";
import { collectStateDict, type LoadResult, loadStateDict, type StateDict, snakeCase } from "./state-dict.js";

/** What `Module.to` takes: a floating dtype, a device, or both in an object. */
export type ToTarget = DType | DeviceLike | { dtype?: DType; device?: DeviceLike };

/** A part that turns one tensor into one tensor, which is what {@link Sequential} chains. */
export type Layer = Module & { forward(input: Tensor): Tensor };

/**
 * The base of every neural network module. Extend it, keep parts in fields, define `forward`:
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * class Classifier extends nn.Module {
 *   layers = [new nn.Linear(4, 3), new nn.Linear(3, 2)];
 *   activation = new nn.Sigmoid();
 *   forward(input: torch.Tensor): torch.Tensor {
 *     return this.layers.reduce((x, layer) => this.activation.forward(layer.forward(x)), input);
 *   }
 * }
 * const model = new Classifier();
 * console.log(String(model));
 * console.log(Object.keys(model.stateDict())); // layers.0.weight, layers.0.bias, layers.1.weight, layers.1.bias
 * console.log(model.forward(torch.ones([5, 4])).shape); // [5, 2]
 * ```
 *
 * A part is a field, or an element of an array in a field, that is a {@link Parameter} or a Module. Anything else
 * (an optimiser, a plain tensor, a `#private` field, an array of numbers) is left alone. The order is PyTorch's: a
 * module's own parameters, then its children's, each in field order; what is shared counts once, under its first name.
 *
 * `forward` may take and give anything. Hooks run however a module is run: `module.forward(x)` and `module.call(x)`
 * are the same, where PyTorch's `module.forward(x)` skips them.
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html}
 */
export abstract class Module {
  /** True while training; {@link Dropout} and others behave differently in evaluation. Set it with `train` and `eval`. */
  get training(): boolean {
    const mode = this.#training;
    capturing()?.guard(() => this.#training === mode);
    return mode;
  }
  set training(mode: boolean) {
    this.#training = mode;
  }
  #training = true;

  /** The names of buffers, and whether each belongs to the state dict. The tensors are in fields of these names. */
  readonly #buffers = new Map<string, boolean>();

  /** What the module computes. */
  abstract forward(...inputs: never[]): unknown;

  /** Runs the module: PyTorch's `module(...inputs)`. The same as `forward`. */
  call(...inputs: Parameters<this["forward"]>): ReturnType<this["forward"]> {
    return (this.forward as (...inputs: unknown[]) => unknown)(...inputs) as ReturnType<this["forward"]>;
  }

  /**
   * The named values among which parts are looked for: fields, and elements of arrays as `field.0`, `field.1`.
   * Containers that keep their parts elsewhere override it.
   */
  protected *fields(): Iterable<[name: string, value: unknown]> {
    for (const [name, value] of Object.entries(this)) yield* flattenArrays(name, value);
  }

  *#own<T extends object>(type: abstract new (...args: never[]) => T): Iterable<[string, T]> {
    for (const [name, value] of this.fields()) if (value instanceof type) yield [name, value];
  }

  /** What a part is called in a state dict: a field by its name in Python's spelling. */
  protected stateKey(name: string): string {
    return snakeCase(name);
  }

  /** Pre-order. Shared modules come once, or under each of their names; an ancestor met again is never entered. */
  *#walk(prefix: string, entered: Set<Module>, everyName: boolean, keys = false): Iterable<[string, Module]> {
    if (entered.has(this)) return;
    entered.add(this);
    yield [prefix, this];
    for (const [name, child] of this.#own(Module)) {
      yield* child.#walk(join(prefix, keys ? this.stateKey(name) : name), entered, everyName, keys);
    }
    if (everyName) entered.delete(this);
  }

  *#tensors<T extends Tensor>(
    own: (module: Module) => Iterable<[string, T]>,
    everyName: boolean,
    keys = false,
  ): Iterable<[string, T]> {
    const seen = new Set<Tensor>();
    for (const [prefix, module] of this.#walk("", new Set(), everyName, keys)) {
      for (const [name, tensor] of own(module)) {
        if (!everyName && seen.has(tensor)) continue;
        seen.add(tensor);
        yield [join(prefix, keys ? module.stateKey(name) : name), tensor];
      }
    }
  }

  *#ownBuffers(persistentOnly: boolean): Iterable<[string, Tensor]> {
    for (const [name, persistent] of this.#buffers) {
      const value = (this as Record<string, unknown>)[name];
      if (value instanceof Tensor && (persistent || !persistentOnly)) yield [name, value];
    }
  }

  /** All parameters, each once. */
  parameters(): Parameter[] {
    return this.namedParameters().map(([, parameter]) => parameter);
  }

  /** All parameters with their paths (`model.0.weight`), each once. */
  namedParameters(): [name: string, parameter: Parameter][] {
    return [...this.#tensors((module) => module.#own(Parameter), false)];
  }

  /** All buffers, each once. */
  buffers(): Tensor[] {
    return this.namedBuffers().map(([, buffer]) => buffer);
  }

  /** All buffers with their paths, each once. */
  namedBuffers(): [name: string, buffer: Tensor][] {
    return [...this.#tensors((module) => module.#ownBuffers(false), false)];
  }

  /** This module and all below it, each once. */
  modules(): Module[] {
    return this.namedModules().map(([, module]) => module);
  }

  /** This module, named "", and all below it with their paths, each once, parents before children. */
  namedModules(): [name: string, module: Module][] {
    return [...this.#walk("", new Set(), false)];
  }

  /** The modules directly below, each once. */
  children(): Module[] {
    return this.namedChildren().map(([, module]) => module);
  }

  /** The modules directly below with their names, each once. */
  namedChildren(): [name: string, module: Module][] {
    const seen = new Set<Module>();
    return [...this.#own(Module)].filter(([, child]) => !seen.has(child) && seen.add(child));
  }

  /** The parameter at a path such as `model.0.weight`. Throws ValueError where there is none. */
  getParameter(path: string): Parameter {
    for (const [name, parameter] of this.#tensors((module) => module.#own(Parameter), true)) {
      if (name === path) return parameter;
    }
    const known = this.namedParameters().map(([name]) => name);
    throw new ValueError(
      `getParameter: no parameter "${path}" in ${this.name()}; it has ${known.join(", ") || "none"}`,
    );
  }

  /** The module at a path such as `model.0`; "" is this one. Throws ValueError where there is none. */
  getSubmodule(path: string): Module {
    for (const [name, module] of this.#walk("", new Set(), true)) if (name === path) return module;
    throw new ValueError(`getSubmodule: no module "${path}" in ${this.name()}`);
  }

  /**
   * Makes `tensor` a buffer: state that is not learnt, but moves with the module and, if persistent, is saved with it.
   * It is kept in the field `name`, which may later be assigned anew. Returns the tensor, so that a field can say
   * `mean = this.registerBuffer("mean", torch.zeros([3]))`.
   */
  registerBuffer(name: string, tensor: Tensor, { persistent = true }: { persistent?: boolean } = {}): Tensor {
    if (name === "" || name.includes(".")) {
      throw new ValueError(`registerBuffer: "${name}" cannot name a buffer: a name is not empty and has no dot`);
    }
    if (name in this && !this.#buffers.has(name)) {
      const held = (this as Record<string, unknown>)[name];
      if (held !== undefined && held !== null)
        throw new ValueError(`registerBuffer: ${this.name()} already has "${name}"`);
    }
    this.#buffers.set(name, persistent);
    (this as Record<string, unknown>)[name] = tensor;
    return tensor;
  }

  /** Sets training mode here and in all modules below. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Sets evaluation mode: `train(false)`. */
  eval(): this {
    return this.train(false);
  }

  /** Sets whether all parameters require gradients. */
  requiresGrad_(requiresGrad = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = requiresGrad;
    return this;
  }

  /** Forgets all parameters' gradients, or fills them with zeros if `setToNone` is false. */
  zeroGrad({ setToNone = true }: { setToNone?: boolean } = {}): void {
    for (const parameter of this.parameters()) {
      if (setToNone) parameter.dropGrad();
      else if (parameter.grad) parameter.grad = parameter.grad.detach().zero_();
    }
  }

  /** Calls `fn` with every module, children before parents, and returns this module. */
  apply(fn: (module: Module) => void): this {
    for (const module of this.modules().reverse()) fn(module);
    return this;
  }

  /**
   * Moves parameters and buffers to a device or a floating dtype. Parameters change in place, so optimisers that hold
   * them stay right; tensors of integers and booleans keep their dtype. Errors: DTypeError for a dtype that is not
   * floating.
   */
  to(target: ToTarget): this {
    const convert = conversion(target);
    structureChanged();
    noGrad(() => {
      for (const parameter of this.parameters()) {
        parameter.setData(convert(parameter));
        const gradient = parameter.gradOrDeferred;
        if (gradient === null) continue;
        if (isDeferred(gradient) && gradient.lost) parameter.dropGrad();
        else parameter.grad = convert(parameter.grad as Tensor);
      }
      for (const module of this.modules()) {
        for (const [name, buffer] of module.#ownBuffers(false)) {
          (module as object as Record<string, unknown>)[name] = convert(buffer);
        }
      }
    });
    return this;
  }

  /** Parameters and buffers to float32: `to("float32")`. */
  float(): this {
    return this.to("float32");
  }

  /** Parameters and buffers to float64: `to("float64")`. */
  double(): this {
    return this.to("float64");
  }

  /**
   * Parameters and persistent buffers by PyTorch's keys: `{ "model.0.running_mean": Tensor, … }`. A key is the path of a
   * field in Python's spelling; names in a {@link ModuleDict} or a {@link Sequential} stay as they are. The tensors are
   * detached but share memory with the module; clone them to keep a copy. Shared parameters appear under each of their names.
   */
  stateDict(): StateDict {
    return collectStateDict(this.#state());
  }

  /**
   * Copies the tensors of `stateDict` into the module's own. Keys, in either spelling, and shapes must agree; with
   * `strict: false` missing and unexpected keys are only returned. Every disagreement is listed in one StateDictError, and then nothing has
   * been changed.
   */
  loadStateDict(stateDict: Readonly<StateDict>, { strict = true }: { strict?: boolean } = {}): LoadResult {
    return loadStateDict(this.name(), this.#state(), stateDict, strict);
  }

  *#state(): Iterable<[string, Tensor]> {
    yield* this.#tensors<Tensor>(
      function* (module) {
        yield* module.#own(Parameter);
        yield* module.#ownBuffers(true);
      },
      true,
      true,
    );
  }

  /**
   * Calls `hook(module, inputs)` before every forward; if it returns an array, that replaces the inputs.
   * Returns the removal.
   */
  registerForwardPreHook<M extends Module>(this: M, hook: ForwardPreHook<M>): () => void {
    return addHook(this, "before", hook);
  }

  /**
   * Calls `hook(module, inputs, output)` after every forward; what it returns, unless undefined, replaces the output.
   * Returns the removal.
   */
  registerForwardHook<M extends Module>(this: M, hook: ForwardHook<M>): () => void {
    return addHook(this, "after", hook);
  }

  /** The class's name, as printed. */
  protected name(): string {
    return this.constructor.name;
  }

  /** What printing puts between the brackets. Override it to show a module's settings. */
  extraRepr(): string {
    return "";
  }

  /** The tree as PyTorch prints it. */
  toString(): string {
    const extra = this.extraRepr();
    const children = [...this.#own(Module)].map(([name, child]) => `(${name}): ${indentRest(child.toString())}`);
    if (children.length === 0) return `${this.name()}(${extra})`;
    const lines = extra === "" ? children : [extra, ...children];
    return `${this.name()}(\n${lines.map((line) => `  ${line}\n`).join("")})`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

/** Arrays become their elements. One whose first element is a number or a string is data, maybe long, and is passed over. */
function* flattenArrays(name: string, value: unknown): Iterable<[string, unknown]> {
  if (!Array.isArray(value)) {
    yield [name, value];
  } else if (typeof value[0] !== "number" && typeof value[0] !== "string") {
    for (const [i, element] of value.entries()) yield* flattenArrays(`${name}.${i}`, element);
  }
}

function join(prefix: string, name: string): string {
  return prefix === "" ? name : `${prefix}.${name}`;
}

function indentRest(text: string): string {
  return text.replaceAll("\n", "\n  ");
}

function conversion(target: ToTarget): (tensor: Tensor) => Tensor {
  const isDType = typeof target === "string" && (dtypes as readonly string[]).includes(target);
  const { dtype, device } = isDType
    ? { dtype: target as DType, device: undefined }
    : typeof target === "string" || target instanceof Device
      ? { dtype: undefined, device: target as DeviceLike }
      : target;
  if (dtype !== undefined && !isFloating(dtype)) {
    throw new DTypeError(`Module.to: parameters are floating, so a module cannot become ${dtype}`);
  }
  return (tensor) => tensor.to(tensor.isFloatingPoint() ? { dtype, device } : { device });
}
