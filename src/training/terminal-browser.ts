/** `#terminal` in a browser: a page has no terminal to draw on and no signals. The types are those of `terminal-node.ts`. */
import type * as node from "./terminal-node.js";

export type { Bar, BarOptions, StopSignal } from "./terminal-node.js";

export const makeBar: typeof node.makeBar = () => undefined;
export const onInterrupt: typeof node.onInterrupt = () => () => {};
export const processName: typeof node.processName = () => "browser";
