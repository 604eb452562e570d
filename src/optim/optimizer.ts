/**
 * Optimizer: parameter groups, per-parameter state and their exchange as state dicts. How one parameter is updated is
 * the business of sgd.ts and adam.ts, and the arithmetic is one fused kernel of ops/ for each.
 */
import { withRegion } from "../autograd/region.js";
import { StateDictError, ValueError } from "../errors.js";
import { checkStateDict } from "../nn/state-dict.js";
import { capturing, structureChanged } from "../ops/capture.js";
import { isObserved } from "../ops/launch.js";
import { enableGrad, noGrad, Tensor } from "../tensor/index.js";
import { Foreach, type Update } from "./foreach.js";
import {
  type GivenStateDict,
  loadedOptions,
  loadedState,
  type OptimizerStateDict,
  type ParamState,
  type SavedGroup,
  savedGroup,
  savedState,
  statesOf,
} from "./state-dict.js";

/** After so many steps in a row that were not like the one before, parameters are updated one by one. */
const patience = 16;

/** Parameters that share options. Options may be changed at any time; the next step uses them. */
export type ParamGroup<Options> = Options & { params: Tensor[] /** Set by a schedule. */; initialLr?: number };

/** What a group is given as: its parameters, and those options that differ from the optimiser's. */
export type ParamGroupInput<Options> = Partial<Options> & { params: Iterable<Tensor> | Tensor };

/** What an optimiser takes: parameters, or groups of them. */
export type Params<Options> = Iterable<Tensor> | Iterable<ParamGroupInput<Options>>;

/**
 * The base of every optimiser. An optimiser of your own gives its defaults, checks them in `check`, and updates one
 * parameter in `update`:
 *
 * ```ts
 * import * as torch from "cresset";
 * import { optim } from "cresset";
 *
 * class SignSGD extends optim.Optimizer<{ lr: number }> {
 *   constructor(params: Iterable<torch.Tensor>, { lr = 0.1 } = {}) {
 *     super(params, { lr });
 *   }
 *   protected update(param: torch.Tensor, grad: torch.Tensor, { lr }: { lr: number }): void {
 *     param.sub_(grad.sign().mul(lr));
 *   }
 * }
 * const w = torch.tensor([1, -1], { requiresGrad: true });
 * const optimiser = new SignSGD([w]);
 * w.square().sum().backward();
 * optimiser.step();
 * console.log(w.tolist()); // about [ 0.9, -0.9 ]
 * ```
 *
 * Errors: ValueError if there are no parameters, if one is given twice, is not a leaf, or if an option is out of its
 * domain.
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/optim.html}
 */
export abstract class Optimizer<Options extends object> {
  readonly paramGroups: ParamGroup<Options>[] = [];
  /** What is remembered of each parameter that has been updated. */
  readonly state = new Map<Tensor, ParamState>();

  constructor(
    params: Params<Options>,
    /** The options of groups that do not set their own. */
    readonly defaults: Readonly<Options>,
  ) {
    if (params instanceof Tensor)
      throw new ValueError(`${this.name()}: parameters come in an array, even a single one`);
    const given = [...params] as (Tensor | ParamGroupInput<Options>)[];
    if (given.length === 0) throw new ValueError(`${this.name()}: the list of parameters is empty`);
    if (given.every((item) => item instanceof Tensor)) {
      this.addParamGroup({ params: given } as unknown as ParamGroupInput<Options>);
    } else {
      for (const group of given) {
        if (group instanceof Tensor) throw new ValueError(`${this.name()}: parameters and groups of them are mixed`);
        this.addParamGroup(group);
      }
    }
  }

  /** Adds parameters with options of their own, such as the layers of a model that are trained later. */
  addParamGroup(group: ParamGroupInput<Options>): void {
    if (typeof group !== "object" || group === null || group.params === undefined) {
      throw new ValueError(`${this.name()}: a parameter is a tensor, a group an object with params; this is neither`);
    }
    const params = group.params instanceof Tensor ? [group.params] : [...group.params];
    const known = new Set(this.paramGroups.flatMap((other) => other.params));
    for (const [i, param] of params.entries()) {
      if (!(param instanceof Tensor)) throw new ValueError(`${this.name()}: parameter ${i} is not a tensor`);
      if (!param.isLeaf) {
        throw new ValueError(
          `${this.name()}: parameter ${i} is the result of an operation; only leaves can be optimised`,
        );
      }
      if (known.has(param)) throw new ValueError(`${this.name()}: parameter ${i} appears twice`);
      known.add(param);
    }
    const complete = { ...withDefaults<Options>(this.defaults, group), params } as ParamGroup<Options>;
    this.check(complete);
    this.paramGroups.push(complete);
    structureChanged();
  }

  /** Throws ValueError for options out of their domain. */
  protected check(_options: Readonly<Options>): void {}

  /**
   * @internal Whether `update` passes the numbers of a step through `hostNumbers`, so that it can be recorded, and takes
   * gradients that are not yet computed.
   */
  protected readonly recordable: boolean = false;

  /** @internal What of the options decides which kernels run: a recording holds while it stays the same. */
  protected kind(_options: Readonly<Options>): string {
    return "";
  }

  /** Updates one parameter in place under noGrad; `state` starts empty and is kept. Do not keep `grad`: its memory is reused. */
  protected abstract update(param: Tensor, grad: Tensor, options: Readonly<Options>, state: ParamState): void;

  /**
   * Updates every parameter that has a gradient. A closure, if given, is run first with gradients on (it clears them,
   * computes the loss, calls backward and returns the loss), and its result is returned.
   */
  step(): undefined;
  step<T>(closure: () => T): T;
  step<T>(closure?: () => T): T | undefined {
    const result = closure && enableGrad(closure);
    // State outlives the step, whatever region of memory the caller is in.
    withRegion(false, () => noGrad(() => this.#updateAll()));
    return result;
  }

  #updateAll(): void {
    const capture = capturing();
    if (capture !== null && !this.recordable) capture.refuse(`the step of ${this.name()}`);
    const together = this.recordable && capture === null && !isObserved() && this.#misses < patience;
    if (together && this.#foreach?.step(this.paramGroups, this.state, (group) => this.kind(group))) {
      this.#misses = 0;
      return;
    }
    const updates: (Update & { options: ParamGroup<Options> })[] = [];
    let settled = true;
    for (const options of this.paramGroups) {
      const kind = this.kind(options);
      capture?.guard(() => this.kind(options) === kind);
      for (const param of options.params) {
        const grad = this.recordable ? param.gradOrDeferred : param.gradUnseen;
        if (grad === null) continue;
        capture?.gradientUsed(param);
        let state = this.state.get(param);
        if (!state) {
          state = {};
          this.state.set(param, state);
          capture?.unsettled();
          settled = false;
        }
        updates.push({ param, grad, state, kind, options });
      }
    }
    const update = ({ param, grad, state, options }: (typeof updates)[number]): void => {
      const recording = capturing();
      const known = recording === null ? 0 : Object.keys(state).length;
      this.update(param, grad as Tensor, options, state);
      if (recording !== null && Object.keys(state).length > known) recording.unsettled();
    };
    if (together && settled) {
      this.#misses += 1;
      this.#foreach = Foreach.first(updates, update);
    } else updates.forEach(update);
  }

  #foreach: Foreach | null = null;
  /** How many steps in a row were not like the one before. */
  #misses = 0;

  /** Forgets all gradients, or fills them with zeros if `setToNone` is false. */
  zeroGrad({ setToNone = true }: { setToNone?: boolean } = {}): void {
    for (const group of this.paramGroups) {
      for (const param of group.params) {
        if (setToNone) param.dropGrad();
        else if (param.grad) param.grad = param.grad.detach().zero_();
      }
    }
  }

  /** Options and state, as PyTorch lays them out and spells them. Tensors are the optimiser's own: clone them to keep a copy. */
  stateDict(): OptimizerStateDict {
    const all = this.paramGroups.flatMap((group) => group.params);
    const number = new Map(all.map((param, i) => [param, i]));
    const state = new Map<number, ParamState>();
    for (const [i, param] of all.entries()) {
      const kept = this.state.get(param);
      if (kept !== undefined && Object.keys(kept).length > 0) state.set(i, savedState(kept));
    }
    const param_groups = this.paramGroups.map(({ params, ...options }) =>
      savedGroup(
        options,
        params.map((param) => number.get(param) as number),
      ),
    );
    return { state, param_groups };
  }

  /**
   * Takes over options and state, this class's or PyTorch's, copying tensors to the dtype and device of their parameters. The
   * groups must be as many and as large as the optimiser's; otherwise StateDictError, and nothing is changed.
   */
  loadStateDict(stateDict: GivenStateDict): void {
    const where = `${this.name()}.loadStateDict`;
    checkStateDict(where, stateDict);
    if (!Array.isArray(stateDict.param_groups) || typeof stateDict.state !== "object") {
      throw new StateDictError(`${where}: not an optimiser's state dict: it has no param_groups and state`);
    }
    const sizes = this.paramGroups.map((group) => group.params.length);
    const given = stateDict.param_groups.map((group) => group.params.length);
    if (sizes.length !== given.length || sizes.some((size, i) => size !== given[i])) {
      throw new StateDictError(
        `${where}: the groups have ${given.join(", ")} parameters, the optimiser's ${sizes.join(", ")}`,
      );
    }
    const owners = new Map<number, Tensor>();
    const options = this.paramGroups.map((own, g) => {
      const saved = stateDict.param_groups[g] as SavedGroup;
      for (const [i, param] of own.params.entries()) owners.set(saved.params[i] as number, param);
      const known = new Set([...Object.keys(this.defaults), ...Object.keys(own), "initialLr"]);
      const loaded = loadedOptions(saved, known);
      this.check({ ...own, ...loaded });
      return loaded;
    });
    const states: [Tensor, ParamState][] = [];
    for (const [number, kept] of statesOf(stateDict)) {
      const owner = owners.get(number);
      if (!owner) throw new StateDictError(`${where}: state for parameter ${number}, which no group has`);
      states.push([owner, loadedState(where, number, kept, owner)]);
    }
    for (const [g, own] of this.paramGroups.entries()) Object.assign(own, options[g]);
    structureChanged();
    this.state.clear();
    for (const [owner, state] of states) this.state.set(owner, state);
  }

  /** The class's name, as printed. */
  protected name(): string {
    return this.constructor.name;
  }

  /** The groups' options, as PyTorch prints them. */
  toString(): string {
    const groups = this.paramGroups.map(({ params: _, ...options }, i) => {
      const lines = Object.entries(options)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]) => `    ${name}: ${Array.isArray(value) ? `(${value.join(", ")})` : String(value)}\n`);
      return `Parameter Group ${i}\n${lines.join("")}`;
    });
    return `${this.name()} (\n${groups.join("\n")})`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

/** @internal `defaults` with those of `options` that are given: undefined is as good as absent. */
export function withDefaults<Options extends object>(defaults: Options, options: Partial<Options>): Options {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
}

/** @internal Throws ValueError unless `value` is a number of at least 0. */
export function notNegative(optimiser: string, option: string, value: number): void {
  if (!(value >= 0)) throw new ValueError(`${optimiser}: ${option} is not negative, but ${value} was given`);
}
