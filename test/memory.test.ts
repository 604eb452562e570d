/** A synchronous loop without tidy runs in constant memory: 50,000 of the seed's steps, on each engine. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const repository = fileURLToPath(new URL("../", import.meta.url));

/** The loop of examples/02-classifier.ts with fewer hidden neurons, in a process where nothing else uses memory. */
const program = `
  import * as torch from "cresset";
  const { nn, optim } = torch;
  torch.manualSeed(0);
  const images = torch.randint(0, 256, [100, 28, 28], { dtype: "uint8" });
  const model = new nn.Sequential(new nn.Linear(784, 32), new nn.Sigmoid(), new nn.Linear(32, 10), new nn.Sigmoid());
  const lossFunction = new nn.MSELoss();
  const optimiser = new optim.SGD(model.parameters(), { lr: 0.01 });
  const resident = {};
  let last = 0;
  for (let step = 1; step <= 50_000; step++) {
    const target = torch.zeros([10]);
    target.set([step % 10], 1.0);
    const image = images.select(0, step % 100).reshape([784]).float().div(255);
    const loss = lossFunction.forward(model.forward(image), target);
    optimiser.zeroGrad();
    loss.backward();
    optimiser.step();
    if (step % 1000 === 0) last = loss.item();
    if (step === 20_000 || step === 50_000) resident[step] = process.memoryUsage().rss;
  }
  console.log(JSON.stringify({ engine: torch.cpuEngineName(), resident, last }));`;

describe.each(["native", "wasm"])("%s", (engine) => {
  it("grows by less than 64 MB between step 20,000 and step 50,000", () => {
    if (!existsSync(`${repository}dist/index.js`)) throw new Error("test/memory: run `npm run build` first");
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      cwd: repository,
      env: { ...process.env, CRESSET_CPU: engine, CRESSET_QUIET: "1" },
      encoding: "utf8",
      timeout: 100_000,
    });
    expect(child.stderr).toBe("");
    const told = JSON.parse(child.stdout) as { engine: string; resident: Record<string, number>; last: number };
    expect(told.engine).toBe(engine);
    expect(told.last).toBeGreaterThan(0);
    // By step 20,000 wasm has met the limit at which it begins to spill; before it, dropped tensors are left where they are.
    const megabytes = (step: number): number => told.resident[step]! / 2 ** 20;
    expect(megabytes(50_000) - megabytes(20_000)).toBeLessThan(64);
    expect(megabytes(50_000)).toBeLessThan(450);
  }, 120_000);
});
