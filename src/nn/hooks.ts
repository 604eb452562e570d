/**
 * Forward hooks. A module without hooks pays nothing: the first hook puts a `forward` of its own on the instance, in
 * front of the class's, and the last one removed takes it away again. So hooks run for `forward` and `call` alike.
 */
import { structureChanged } from "../ops/capture.js";
import type { Module } from "./module.js";

type Inputs<M extends Module> = Parameters<M["forward"]>;
type Output<M extends Module> = ReturnType<M["forward"]>;

// biome-ignore lint/suspicious/noConfusingVoidType: a hook that only looks has no return statement
type Nothing = undefined | void;

/** Sees, and may replace, what a module is given. */
export type ForwardPreHook<M extends Module> = (module: M, inputs: Inputs<M>) => Inputs<M>[number][] | Nothing;

/** Sees, and may replace, what a module gives. */
export type ForwardHook<M extends Module> = (module: M, inputs: Inputs<M>, output: Output<M>) => Output<M> | Nothing;

type AnyHook = (module: Module, inputs: unknown[], output?: unknown) => unknown;

interface Hooks {
  before: Set<{ hook: AnyHook }>;
  after: Set<{ hook: AnyHook }>;
  /** Puts back the `forward` that was there before the first hook. */
  uninstall(): void;
}

const installed = new WeakMap<Module, Hooks>();

/** @internal Gives back the hook's removal. */
export function addHook<M extends Module>(
  module: M,
  when: "before" | "after",
  hook: ForwardPreHook<M> | ForwardHook<M>,
): () => void {
  let hooks = installed.get(module);
  if (!hooks) {
    hooks = install(module);
    installed.set(module, hooks);
  }
  const entry = { hook: hook as unknown as AnyHook };
  const list = hooks[when];
  list.add(entry);
  structureChanged();
  return () => {
    if (!list.delete(entry)) return;
    structureChanged();
    const left = installed.get(module);
    if (left && left.before.size + left.after.size === 0) {
      left.uninstall();
      installed.delete(module);
    }
  };
}

function install(module: Module): Hooks {
  const own = Object.getOwnPropertyDescriptor(module, "forward");
  const forward = module.forward as (...inputs: unknown[]) => unknown;
  const before: Hooks["before"] = new Set();
  const after: Hooks["after"] = new Set();

  const hooked = (...given: unknown[]): unknown => {
    let inputs = given;
    for (const { hook } of [...before]) {
      const replaced = hook(module, inputs);
      if (Array.isArray(replaced)) inputs = replaced;
    }
    let output = forward.apply(module, inputs);
    for (const { hook } of [...after]) {
      const replaced = hook(module, inputs, output);
      if (replaced !== undefined) output = replaced;
    }
    return output;
  };
  Object.defineProperty(module, "forward", { value: hooked, enumerable: false, configurable: true, writable: true });

  const uninstall = () => {
    if (own) Object.defineProperty(module, "forward", own);
    else Reflect.deleteProperty(module, "forward");
  };
  return { before, after, uninstall };
}
