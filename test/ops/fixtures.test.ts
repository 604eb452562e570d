/** Every fixture case on both engines: values, shapes, dtypes and gradients are PyTorch's. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Case, engines, load, onEngine, run } from "./cases.js";

const files = ["unary", "binary", "reduce", "matmul", "shape", "network", "convolution"];

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));
  for (const file of files) {
    describe(file, () => {
      for (const c of load<Case[]>(file)) {
        it(`${c.op}: ${c.name}`, () => {
          const problems = run(c);
          expect(problems, problems.join("\n")).toEqual([]);
        });
      }
    });
  }
});
