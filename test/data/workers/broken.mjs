import { serveDataset } from "cresset/data";

serveDataset(() => {
  throw new RangeError("no such folder");
});
