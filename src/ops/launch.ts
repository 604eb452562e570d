/**
 * The one door through which operations reach an engine, so that whoever must see every launch (the profiler, the recorder
 * of `torch.compile`) stands in one place.
 */
import type { Buffer, Engine, Executable } from "../device/engine.js";

/** One launch, as `Engine.launch` takes it. Lists and parameters are the caller's scratch: copy what is kept. */
export type Launch = (
  engine: Engine,
  executable: Executable,
  buffers: readonly Buffer[],
  offsets: readonly number[],
  params: Float64Array,
  count: number,
  units: number,
  work: number,
) => void;

const plainly: Launch = (engine, executable, buffers, offsets, params, count, units, work) =>
  engine.launch(executable, buffers, offsets, params, count, units, work);

/** Who stands at the door, the last to come first. */
const observers: Launch[] = [];
let observer: Launch | null = null;

export const launch: Launch = (engine, executable, buffers, offsets, params, count, units, work) => {
  if (observer === null) engine.launch(executable, buffers, offsets, params, count, units, work);
  else observer(engine, executable, buffers, offsets, params, count, units, work);
};

export const isObserved = (): boolean => observer !== null;

/** From now on `make(run)` sees every launch, and calls `run` to have it done. Gives the function that ends it. */
export function observe(make: (run: Launch) => Launch): () => void {
  const mine = make(observer ?? plainly);
  observers.push(mine);
  observer = mine;
  return () => {
    const i = observers.indexOf(mine);
    if (i < 0) return;
    observers.splice(i, 1);
    observer = observers[observers.length - 1] ?? null;
  };
}
