// A stream of which each worker gives its share.
import { getWorkerInfo, IterableDataset, serveDataset } from "cresset/data";

let step = 1;
export class Numbers extends IterableDataset {
  *[Symbol.iterator]() {
    for (let i = getWorkerInfo()?.id ?? 0; i < 11; i += step) yield i;
  }
}
serveDataset(() => new Numbers(), {
  init: ({ numWorkers }) => {
    step = numWorkers;
  },
});
