import { CsvStream, serveDataset } from "cresset/data";

// Workers share the variable.
serveDataset(() => new CsvStream(process.env.CRESSET_TEST_LINES));
