// A data set with chance in it, and all kinds of values; the script of its own workers.
import * as torch from "cresset";
import { Dataset, getWorkerInfo, serveDataset } from "cresset/data";

export class Noisy extends Dataset {
  length = 23;
  get(index) {
    const noise = torch.rand([2]);
    return {
      x: torch.full([3], index).add(torch.rand([3])),
      noise,
      half: noise.to("float16"),
      even: index % 2 === 0,
      label: index,
      name: `item ${index}`,
      bytes: Uint8Array.of(index, 1),
    };
  }
}
/** Waits before it answers, and for longer the earlier the item is, so that later batches are ready first. */
class Slow extends Noisy {
  async get(index) {
    await new Promise((resolve) => setTimeout(resolve, 40 - index));
    return super.get(index);
  }
}
export const noisy = () => (getWorkerInfo()?.id === 0 ? new Slow() : new Noisy());
serveDataset(noisy);
