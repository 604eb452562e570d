/** Compiled kernels kept by engine and name, for operations that have a handful of kernels each. */
import type { Engine, Executable } from "../device/engine.js";
import type { Kernel } from "../kernel/ir.js";

export class Executables {
  private readonly known = new WeakMap<Engine, Map<string, Executable>>();

  /** The kernel of that key on that engine, compiled when it is first asked for. */
  get(engine: Engine, key: string, make: () => Kernel): Executable {
    let cache = this.known.get(engine);
    if (cache === undefined) {
      cache = new Map();
      this.known.set(engine, cache);
    }
    let executable = cache.get(key);
    if (executable === undefined) {
      executable = engine.compile(make());
      cache.set(key, executable);
    }
    return executable;
  }
}
