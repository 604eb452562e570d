/**
 * A training that begins in PyTorch goes on here, and what is saved here is saved again as PyTorch would. The other way,
 * from here to PyTorch, is checked by test/fixtures/check.py, which sets CRESSET_EXCHANGE and opens what is written.
 */
import { join } from "node:path";
import type { nn, optim, Tensor } from "cresset";
import * as torch from "cresset";
import { loadFile, saveFile } from "cresset/io";
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
