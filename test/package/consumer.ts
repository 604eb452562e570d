// A user's TypeScript: compiled against the installed package's types under each module resolution, then run.
import * as torch from "cresset";
import { type DType, nn, optim, Tensor } from "cresset";
import { DataLoader, TensorDataset } from "cresset/data";
import { deserialize, serialize } from "cresset/io";
import { SyntheticDigits } from "cresset/vision";

class Classifier extends nn.Module {
  layer = new nn.Linear(4, 2);
  forward(x: Tensor): Tensor {
    return this.layer.forward(x).relu();
  }
}

torch.manualSeed(1);
const model = new Classifier();
const optimiser = new optim.SGD(model.parameters(), { lr: 0.1 });
const inputs: Tensor = torch.randn([8, 4]);
const targets = torch.zeros([8, 2], { dtype: "float32" });
for (const [x, y] of new DataLoader(new TensorDataset(inputs, targets), { batchSize: 4 })) {
  const loss = nn.functional.mseLoss(model.forward(x as Tensor), y as Tensor);
  optimiser.zeroGrad();
  loss.backward();
  optimiser.step();
}
const shape: readonly number[] = model.layer.weight.shape;
const dtype: DType = model.layer.weight.dtype;
const [image, label] = new SyntheticDigits({ length: 10 }).get(0);
const digit: number = label;
const again = deserialize(serialize(model.stateDict()));

/** Never called: what the types refuse. */
export function refused(): void {
  // @ts-expect-error: a dtype is one of a few names
  torch.zeros([2], { dtype: "float31" });
  // @ts-expect-error: operations take tensors and numbers
  inputs.add("1");
}

console.log(shape, dtype, image.shape, digit >= 0, Object.keys(again), model.layer.weight instanceof Tensor);
