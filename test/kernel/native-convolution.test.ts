/**
 * Convolutions written for other vectors than this processor's: result and gradients as in WebAssembly, which test/ops compares
 * with PyTorch, around the sizes of their tiles.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { Device } from "../../src/device/device.js";
import { NativeEngine } from "../../src/device/native/engine.js";
import * as torch from "../../src/index.js";
import { others } from "./vectors.js";

const here = NativeEngine.create();
const { conv2d, conv1d } = torch.nn.functional;

const cases = [1, 2, 5, 6, 7, 8, 12, 13, 14, 15].flatMap((out) =>
  [3, 6, 7, 11, 12, 15, 16, 17, 31, 33].map((wide, i) => ({
    out,
    wide,
    inputs: 1 + ((out + i) % 4),
    stride: 1 + (i % 2),
  })),
);

describe.runIf(here !== null).each(others)("convolution, %j", (vectors) => {
  let device: Device;
  beforeAll(() => {
    torch.setCpuEngine("wasm");
    // A thread has one native engine at a time.
    device = new Device("cpu", null, NativeEngine.create(null, { vectors }) as NativeEngine);
  });
  const near = (got: torch.Tensor, want: torch.Tensor, tolerance: number): void => {
    expect(got.shape).toEqual(want.shape);
    const wanted = want.tolist();
    got
      .reshape([-1])
      .toTypedArray()
      .forEach((v, i) => {
        const w = Number(want.reshape([-1]).get([i]));
        if (Math.abs(Number(v) - w) > tolerance * Math.max(1, Math.abs(w))) expect(got.tolist()).toEqual(wanted);
      });
  };
  for (const dtype of ["float32", "float64"] as const) {
    it(dtype, () => {
      torch.manualSeed(4);
      for (const { out, wide, inputs, stride } of cases) {
        const [x, w, b] = [torch.randn([2, inputs, 4, wide]), torch.randn([out, inputs, 3, 3]), torch.randn([out])];
        const run = (on: Device | undefined): torch.Tensor[] => {
          const own = [x, w, b].map((t) => torch.tensor(t.tolist(), { dtype, device: on, requiresGrad: true }));
          const y = conv2d(own[0]!, own[1]!, own[2]!, { padding: 1, stride });
          y.mul(y).sum().backward();
          return [y.detach(), ...own.map((t) => t.grad!)];
        };
        const want = run(undefined);
        run(device).forEach((t, i) => {
          near(t, want[i]!, dtype === "float32" ? 2e-4 : 1e-11);
        });
      }
    });
  }
  it("one dimension, groups", () => {
    const [x, w] = [torch.randn([3, 4, 50]), torch.randn([8, 2, 5])];
    const there = [x, w].map((t) => torch.tensor(t.tolist(), { device })) as [torch.Tensor, torch.Tensor];
    near(conv1d(there[0], there[1], null, { groups: 2 }), conv1d(x, w, null, { groups: 2 }), 1e-5);
  });
});
