/** The vector registers that schedules of the native engine are written for, but for this processor's. */
import { detectProcessor } from "../../src/device/native/compiler.js";
import type { Vectors } from "../../src/kernel/c/micro.js";

const own = detectProcessor().vectors;
export const others = (
  [
    { bytes: 16, count: 16 },
    { bytes: 16, count: 32 },
    { bytes: 32, count: 16 },
    { bytes: 64, count: 32 },
  ] satisfies Vectors[]
).filter((v) => v.bytes !== own.bytes || v.count !== own.count);
