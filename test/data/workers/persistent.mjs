// A program that keeps its workers between rounds and ends all the same.
import { DataLoader } from "cresset/data";
import { noisy } from "./noisy.mjs";

const worker = new URL("./noisy.mjs", import.meta.url);
const loader = new DataLoader(noisy(), { numWorkers: 2, worker, persistentWorkers: true });
let batches = 0;
for (let round = 0; round < 2; round++) for await (const _ of loader) batches++;
console.log(batches);
