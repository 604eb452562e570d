import { CsvStream, serveDataset } from "cresset/data";

/** The file's path is in a variable, which workers share. */
serveDataset(() => new CsvStream(process.env.CRESSET_TEST_LINES));
