import { Dataset, serveDataset } from "cresset/data";

export class Failing extends Dataset {
  length = 10;
  get(index) {
    if (index === 7) throw new TypeError("cat 7 has no tail");
    if (index === 9) process.exit(3);
    return index;
  }
}
serveDataset(() => new Failing());
