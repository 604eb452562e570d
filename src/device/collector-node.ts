/**
 * How Node lets the wasm heap learn, inside a synchronous loop, which buffers were dropped. Two things stand against it there:
 * the collector runs when it likes, and JavaScript keeps what a WeakRef was made of, or gave, until the loop has ended. `gc` does
 * away with the first. The second ends with every run of a microtask queue, and a context of its own has one that is empty.
 *
 * Nothing depends on it: where it does not work, the heap copies buffers out of its way, dropped or not.
 */
import v8 from "node:v8";
import vm from "node:vm";
import type { Collector } from "./wasm/heap.js";

/** V8's own function, which the command line would give as `--expose-gc`. */
function exposed(): (options?: { type: "minor" }) => void {
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  v8.setFlagsFromString("--no-expose-gc");
  return gc;
}

/** How array buffers are freed on another thread, and with whose help what is young is collected. */
const helpers = ["concurrent-array-buffer-sweeping", "parallel-scavenge"];
const [alone, helped] = ["--no-", "--"].map((on) => helpers.map((flag) => on + flag).join(" ")) as [string, string];

/**
 * Collects what is young and dropped. Its array buffers are freed at once, on this thread, so that the next allocation gets the
 * memory that the cache still holds; and waking helpers for a few objects takes longer than they save. Null where the host has
 * no such thing.
 */
export function youngCollector(): (() => void) | null {
  try {
    const gc = exposed();
    // Whoever has told Node about the collector's threads is not to be overruled.
    const told = /single-threaded|sweeping|scavenge/.test([...process.execArgv, process.env["NODE_OPTIONS"]].join(" "));
    if (told) return () => gc({ type: "minor" });
    return () => {
      v8.setFlagsFromString(alone);
      gc({ type: "minor" });
      v8.setFlagsFromString(helped);
    };
  } catch {
    return null;
  }
}

/** Null where the host's collector does not do what is asked. */
export function createCollector(): Collector | null {
  try {
    const collect = exposed();
    const context = vm.createContext({}, { microtaskMode: "afterEvaluate" });
    const nothing = new vm.Script("0");
    const collector: Collector = {
      collect: () => void collect(),
      release: () => void nothing.runInContext(context),
    };
    const dropped = (() => new WeakRef({}))();
    collector.release();
    collector.collect();
    return dropped.deref() === undefined ? collector : null;
  } catch {
    return null;
  }
}
