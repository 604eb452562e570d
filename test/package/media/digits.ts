// A data set, and the script of its own workers.
import * as torch from "cresset";
import { Dataset, serveDataset } from "cresset/data";

class Noisy extends Dataset<[torch.Tensor, number]> {
  readonly length = 10;
  override get(index: number): [torch.Tensor, number] {
    return [torch.rand([2]).add(index), index];
  }
}
export const digits = (): Dataset<[torch.Tensor, number]> => new Noisy();
serveDataset(digits);
