/** The WebAssembly engine's threads: equal bits whatever their number, none for small work, and a process that ends. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as torch from "cresset";
import { beforeAll, describe, expect, it } from "vitest";
import { workers } from "../../src/device/host-node.js";
import { WasmEngine } from "../../src/device/wasm/engine.js";

torch.setCpuEngine("wasm");
const engine = torch.device("cpu").engine as WasmEngine;
const F = torch.nn.functional;

const bits = (t: torch.Tensor): string => Buffer.from(t.toTypedArray().buffer as ArrayBuffer).toString("base64");

/** Runs it with 1, 2 and 4 threads, the last more than once, and compares every bit. */
function expectEqual(name: string, compute: () => torch.Tensor): void {
  torch.setNumThreads(1);
  const want = bits(compute());
  for (const threads of [2, 4, 4, 4]) {
    torch.setNumThreads(threads);
    expect(bits(compute()) === want, `${name} with ${threads} threads`).toBe(true);
  }
}

describe("wasm threads", () => {
  it("starts no worker for small work, nor for one thread", () => {
    expect(engine.workers.started).toBe(0);
    torch.setNumThreads(4);
    const x = torch.rand([40, 40]);
    for (let i = 0; i < 20; i++) x.matmul(x).exp().softmax(1).sum();
    torch.setNumThreads(1);
    const large = torch.rand([300, 300]);
    large.matmul(large).exp().sum(0);
    expect(engine.workers.started).toBe(0);
  });

  it("has one thread where the host gives no workers", () => {
    const alone = new WasmEngine();
    alone.threads = 4;
    expect(alone.threads).toBe(1);
    const refusing = new WasmEngine({
      workers: {
        threads: 4,
        start: () => {
          throw new Error("no");
        },
      },
    });
    expect(refusing.threads).toBe(4);
  });

  describe("working together", () => {
    beforeAll(async () => {
      torch.setNumThreads(4);
      const x = torch.rand([500, 500]);
      // a worker takes part once the system has started it
      for (let i = 0; i < 2000 && engine.workers.helped < 100; i++) {
        torch.tidy(() => x.matmul(x));
        if (i % 10 === 0) await new Promise((done) => setTimeout(done, 5));
      }
      expect(engine.workers.started).toBe(3);
      expect(engine.workers.helped).toBeGreaterThan(0);
    });

    it("convolutions and the gradients of their inputs; the weights' are summed in as many parts as there are threads", () => {
      for (const [images, size, stride] of [
        [1, 61, 1],
        [5, 28, 1],
        [9, 33, 2],
      ] as const) {
        const x = torch.rand([images, 12, size, size]);
        const w = torch.rand([20, 12, 3, 3]).requiresGrad_();
        const forward = (input: torch.Tensor) => F.conv2d(input, w, null, { stride, padding: 1 });
        const name = `${images} images of ${size}², stride ${stride}`;
        expectEqual(name, () => forward(x));
        expectEqual(`${name}, input`, () => {
          const input = x.clone().requiresGrad_();
          forward(input).square().sum().backward();
          return input.grad as torch.Tensor;
        });
        const gradients = [1, 2, 4].map((threads) => {
          torch.setNumThreads(threads);
          w.grad = null;
          forward(x).square().sum().backward();
          return w.grad as torch.Tensor | null;
        });
        for (const g of gradients)
          expect(torch.allclose(g as torch.Tensor, gradients[0] as torch.Tensor, { rtol: 1e-4 })).toBe(true);
      }
    });

    it("maps: sizes around the edges of chunks", () => {
      for (const n of [63, 64, 4095, 20_001, 65_535, 65_536, 65_537, 100_000, 262_143, 500_003]) {
        const x = torch
          .arange(n)
          .to("float32")
          .sub(n / 2)
          .mul(0.001);
        expectEqual(`exp ${n}`, () => x.exp());
        expectEqual(`three operands ${n}`, () => x.mul(x).add(x.sigmoid()));
        expectEqual(`float64 ${n}`, () => x.to("float64").sin());
        expectEqual(`bool ${n}`, () => x.gt(0));
      }
    });

    it("maps with strides and broadcasting", () => {
      const x = torch
        .arange(301 * 501)
        .to("float32")
        .reshape([301, 501])
        .mul(0.01);
      const row = torch.arange(501).to("float32");
      expectEqual("transposed", () => x.transpose(0, 1).mul(2).contiguous());
      expectEqual("a row for all", () => x.add(row).sin());
      expectEqual("int64", () => x.to("int64").mul(3));
    });

    it("folds of rows and columns", () => {
      const x = torch
        .arange(701 * 513)
        .to("float32")
        .sin()
        .reshape([701, 513]);
      expectEqual("sum of rows", () => x.sum(1));
      expectEqual("sum of columns", () => x.sum(0));
      expectEqual("softmax", () => x.softmax(1));
      expectEqual("softmax of columns", () => x.softmax(0));
      expectEqual("layer norm", () => F.layerNorm(x, [513]));
      expectEqual("max", () => x.max(1).values);
      expectEqual("all", () => x.sum());
    });

    it("products, whole tiles or not, in every layout", () => {
      for (const [m, k, n] of [
        [64, 784, 200],
        [200, 64, 784],
        [127, 127, 127],
        [61, 300, 1031],
        [1031, 257, 61],
        [8, 600, 700],
        [700, 600, 9],
        [256, 513, 250],
      ] as const) {
        const a = torch
          .arange(m * k)
          .to("float32")
          .sin();
        const b = torch
          .arange(k * n)
          .to("float32")
          .cos();
        for (const x of [a.reshape([m, k]), a.reshape([k, m]).transpose(0, 1)])
          for (const y of [b.reshape([k, n]), b.reshape([n, k]).transpose(0, 1)])
            expectEqual(`${m}×${k}×${n}`, () => x.matmul(y));
        const bias = torch.arange(n).to("float32");
        expectEqual("with bias", () => F.linear(a.reshape([m, k]), b.reshape([n, k]), bias));
      }
      const a = torch
        .arange(6 * 90 * 70)
        .to("float64")
        .sin()
        .reshape([6, 90, 70]);
      expectEqual("a batch", () => a.matmul(a.transpose(1, 2)));
    });

    it("random numbers, scatters and scans", () => {
      expectEqual("rand", () => {
        torch.manualSeed(3);
        return torch.rand([300_001]);
      });
      const index = torch.arange(200_000).remainder(1000);
      const source = torch.arange(200_000).to("float32").sin();
      expectEqual("indexAdd", () => torch.zeros([1000]).indexAdd(0, index, source));
      expectEqual("cumsum", () => source.reshape([400, 500]).cumsum(1));
    });

    it("learns the same", () => {
      const train = (): torch.Tensor => {
        torch.manualSeed(1);
        const model = new torch.nn.Sequential(
          new torch.nn.Linear(784, 200),
          new torch.nn.ReLU(),
          new torch.nn.Linear(200, 10),
        );
        const optimiser = new torch.optim.Adam(model.parameters());
        const x = torch.rand([256, 784]);
        const target = torch.randint(0, 10, [256]);
        for (let step = 0; step < 8; step++) {
          const loss = F.crossEntropy(model.forward(x), target);
          optimiser.zeroGrad();
          loss.backward();
          optimiser.step();
        }
        return model.forward(x).detach();
      };
      expectEqual("a classifier", train);
    });
  });

  it("goes on alone when workers are refused later", async () => {
    let failed: () => void = () => {};
    const started: number[] = [];
    const lonely = new WasmEngine({
      workers: {
        threads: 3,
        start: (_, { me }, refused) => {
          started.push(me);
          failed = refused;
        },
      },
    });
    const kernel = {
      kind: "matmul",
      name: "mm",
      type: "float32",
      extras: [],
      scalars: [],
      epilogue: [],
    } as const;
    const n = 200;
    const run = lonely.compile(kernel);
    const [a, b, c] = [0, 1, 2].map(() => lonely.alloc(4 * n * n));
    for (const buffer of [a!, b!])
      new Float32Array(lonely.view(buffer).buffer, lonely.view(buffer).byteOffset, n * n).fill(1);
    const params = Float64Array.of(1, n, n, n, 0, n, 1, 0, n, 1, 0, n);
    // nobody answers to the call: the launching thread does it all
    lonely.launch(run, [a!, b!, c!], [0, 0, 0], params, 12, n, n * n * n);
    expect(started).toEqual([0, 1]);
    const view = lonely.view(c!);
    expect(new Float32Array(view.buffer, view.byteOffset, n * n).every((x) => x === n)).toBe(true);
    failed();
    expect(lonely.threads).toBe(1);
    lonely.launch(run, [a!, b!, c!], [0, 0, 0], params, 12, n, n * n * n);
    expect(started).toEqual([0, 1]);
  });

  it("keeps no process alive and prints nothing", () => {
    const repository = fileURLToPath(new URL("../../", import.meta.url));
    if (!existsSync(`${repository}dist/index.js`)) throw new Error("test/device: run `npm run build` first");
    const program = `
      import * as torch from "cresset";
      torch.setNumThreads(4);
      const x = torch.rand([300, 300]);
      for (let i = 0; i < 30; i++) torch.tidy(() => x.matmul(x));
      await new Promise((done) => setTimeout(done, 100));
      for (let i = 0; i < 30; i++) torch.tidy(() => x.matmul(x));
      console.log(torch.cpuEngineName(), torch.getNumThreads(), torch.device("cpu").engine.workers.started);`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      cwd: repository,
      env: { ...process.env, CRESSET_CPU: "wasm" },
      encoding: "utf8",
      timeout: 20_000,
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "wasm 4 3\n", stderr: "" });
  });

  it("is given as many threads as there are cores", () => {
    expect(new WasmEngine({ workers }).threads).toBe(workers.threads);
  });
});
