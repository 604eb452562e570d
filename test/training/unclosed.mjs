// A bar that nobody closes, on what says it is a terminal: the process must end all the same.
import { ProgressBar } from "cresset/training";

process.stderr.isTTY = true;
process.stderr.columns = 80;
new ProgressBar({ total: 2, description: "open" }).update();
