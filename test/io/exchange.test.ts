/**
 * A training that begins in PyTorch goes on here, and what is saved here is saved again as PyTorch would. The other way,
 * from here to PyTorch, is checked by test/fixtures/check.py, which sets CRESSET_EXCHANGE and opens what is written.
 */
import { join } from "node:path";
import * as torch from "cresset";
import { nn, type optim, type Tensor } from "cresset";
import { loadFile, loadNpy, loadNpz, saveFile, saveNpy, saveNpz } from "cresset/io";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../vision/fixtures.js";
import { fixture } from "./fixtures.js";
import { makeOptimizer, Network, predict, train } from "./network.js";

interface Checkpoint {
  model: nn.StateDict;
  optimizer: optim.OptimizerStateDict;
  epoch: number;
  out: Tensor;
  losses: number[];
}

it("values and tensors of every dtype are there for numpy and PyTorch to open", async () => {
  const folder = process.env.CRESSET_EXCHANGE ?? temporaryFolder();
  const dtypes = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"] as const;
  const tensors = Object.fromEntries(dtypes.map((dtype) => [dtype, torch.tensor([[0, 1, 2]], { dtype }).t()]));
  const base = torch.arange(12).reshape(3, 4).float();
  const ring: { self?: unknown } = {};
  ring.self = ring;
  const values = {
    plain: [null, true, false, 3, -70000, 2 ** 40, 2n ** 70n, 0.5, "한"],
    map: new Map([[1, "x"]]),
    set: new Set([1, 2]),
    bytes: new Uint8Array([0, 200, 255]),
    ring,
  };
  const views = {
    base,
    transposed: base.t(),
    row: base.select(0, 1),
    scalar: torch.tensor(3.5),
    none: torch.zeros([0, 3]),
  };
  const half = torch.tensor([1.5], { dtype: "bfloat16" });
  const all = {
    ...values,
    ...views,
    tensors: { ...tensors, bfloat16: half },
    weight: new nn.Parameter(torch.ones([2])),
  };
  await torch.save(all, join(folder, "values.pt"));
  await saveNpz(tensors, join(folder, "stored.npz"));
  await saveNpz(tensors, join(folder, "packed.npz"), { compress: true });
  saveNpy(base.t(), join(folder, "transposed.npy"));
  expect(Object.keys(await torch.load<object>(join(folder, "values.pt")))).toEqual(Object.keys(all));
  expect(Object.keys(await loadNpz(join(folder, "packed.npz")))).toEqual([...dtypes]);
  expect(loadNpy(join(folder, "transposed.npy")).shape).toEqual([4, 3]);
});

const near = (tensor: Tensor, other: Tensor): number => tensor.sub(other).abs().max().item();

describe.each(["adam", "sgd"])("a checkpoint with %s", (name) => {
  it("of PyTorch is loaded by its own keys, gives the same outputs and goes on with the same losses", async () => {
    const checkpoint = await torch.load<Checkpoint>(fixture(`trained-${name}.pt`));
    const model = new Network();
    expect(Object.keys(model.stateDict())).toEqual(Object.keys(checkpoint.model));
    expect(model.loadStateDict(checkpoint.model)).toEqual({ missingKeys: [], unexpectedKeys: [] });
    expect(model.batchNorm.numBatchesTracked?.item()).toBe(3);
    const optimizer = makeOptimizer(name, model);
    optimizer.loadStateDict(checkpoint.optimizer);
    expect(near(predict(model), checkpoint.out)).toBeLessThan(1e-6);
    for (const [i, loss] of train(model, optimizer, 3).entries()) expect(loss).toBeCloseTo(checkpoint.losses[i]!, 6);
  });

  it("of our own has PyTorch's layout and brings a training back", async () => {
    const theirs = await torch.load<Checkpoint>(fixture(`trained-${name}.pt`));
    torch.manualSeed(1);
    const model = new Network();
    const optimizer = makeOptimizer(name, model);
    train(model, optimizer, 3);
    const folder = process.env.CRESSET_EXCHANGE ?? temporaryFolder();
    const state = { model: model.stateDict(), optimizer: optimizer.stateDict(), epoch: 3 };
    // What follows the save goes on with the training, so it is written last.
    await torch.save(state, join(folder, "state.pt"));
    const saved = await torch.load<Checkpoint>(join(folder, "state.pt"));
    const out = predict(model);
    const losses = train(model, optimizer, 3);
    await torch.save({ ...saved, out, losses }, join(folder, `ours-${name}.pt`));
    saveFile(saved.model, join(folder, `ours-${name}.safetensors`));

    const back = await torch.load<Checkpoint>(join(folder, `ours-${name}.pt`));
    expect(Object.keys(back.model)).toEqual(Object.keys(theirs.model));
    expect([...back.optimizer.state.keys()]).toEqual([...theirs.optimizer.state.keys()]);
    const [ours, wanted] = [back.optimizer.state.get(0)!, theirs.optimizer.state.get(0)!];
    expect(Object.keys(ours).toSorted()).toEqual(Object.keys(wanted).toSorted());
    for (const [key, value] of Object.entries(wanted)) {
      expect([(ours[key] as Tensor).shape, (ours[key] as Tensor).dtype]).toEqual([
        (value as Tensor).shape,
        (value as Tensor).dtype,
      ]);
    }
    expect(Object.keys(theirs.optimizer.param_groups[0]!)).toEqual(
      expect.arrayContaining(Object.keys(back.optimizer.param_groups[0]!)),
    );

    const again = new Network();
    again.loadStateDict(loadFile(join(folder, `ours-${name}.safetensors`)));
    const goingOn = makeOptimizer(name, again);
    goingOn.loadStateDict(back.optimizer);
    expect(predict(again).tolist()).toEqual(out.tolist());
    expect(train(again, goingOn, 3)).toEqual(losses);
  });
});
