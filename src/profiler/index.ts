/** `profiler`: where the time of a program goes, by kernel and by range, beside what the machine could do. */
export { EventAverage, KeyAverages, type SortKey, type TableOptions } from "./averages.js";
export { Profile, type ProfileOptions, profile, start } from "./profile.js";
export { recordFunction } from "./recorder.js";
export type { ChromeTrace, TraceEvent } from "./trace.js";
