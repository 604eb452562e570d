/**
 * What this machine can do at best, measured with cresset's own kernels when it is first asked for, once an engine and
 * number of threads: bytes a second of a copy of 64 MiB, and floating-point operations a second of a 512³ product, each
 * the best of several runs. Both in float32; float64 computes about half as fast.
 *
 * With it an operation's limit is that of the roofline model (Williams, Waterman and Patterson 2009): no launch ends before
 * its bytes are moved and its operations are computed, so its time is at least max(bytes / bandwidth, flops / peak).
 */
import { noGrad } from "../autograd/mode.js";
import { Device } from "../device/device.js";
import type { Engine } from "../device/engine.js";
import { ones } from "../ops/creation.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Cost } from "./cost.js";

export interface MachineLimit {
  readonly bytesPerSecond: number;
  readonly flopsPerSecond: number;
}

const measured = new WeakMap<Engine, Map<number, MachineLimit>>();

/** Launches made while this is true are the measurement's own. */
export let measuring = false;

function best(runs: number, run: () => Tensor): number {
  let seconds = Number.POSITIVE_INFINITY;
  run().dispose();
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    const out = run();
    seconds = Math.min(seconds, (performance.now() - start) / 1000);
    out.dispose();
  }
  return seconds;
}

export function limitOf(engine: Engine): MachineLimit {
  const known = measured.get(engine)?.get(engine.threads);
  if (known !== undefined) return known;
  const device = new Device("cpu", null, engine);
  measuring = true;
  try {
    const made = noGrad((): MachineLimit => {
      const numbers = ones([1 << 24], { device, dtype: "float32" });
      const square = ones([512, 512], { device, dtype: "float32" });
      const limit = {
        bytesPerSecond: (2 * numbers.numel() * 4) / best(5, () => numbers.clone()),
        flopsPerSecond: (2 * 512 ** 3) / best(10, () => square.matmul(square)),
      };
      numbers.dispose();
      square.dispose();
      return limit;
    });
    const byThreads = measured.get(engine) ?? new Map<number, MachineLimit>();
    byThreads.set(engine.threads, made);
    measured.set(engine, byThreads);
    return made;
  } finally {
    measuring = false;
  }
}

/** The shortest time a launch can take, in microseconds. */
export const shortest = ({ bytes, flops }: Cost, limit: MachineLimit): number =>
  Math.max(bytes / limit.bytesPerSecond, flops / limit.flopsPerSecond) * 1e6;
