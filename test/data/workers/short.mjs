import { Dataset, serveDataset } from "cresset/data";

class Short extends Dataset {
  length = 3;
  get(index) {
    return index;
  }
}
serveDataset(async () => new Short());
