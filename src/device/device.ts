/**
 * Devices as users name them (`cpu`, `cuda:0`), and which engine stands behind each. `cpu` is run by the native engine
 * where a compiler is found, else by wasm; CRESSET_CPU or `setCpuEngine` choose by hand.
 */

import { type CpuEngineName, createCpuEngine, requestedCpuEngine } from "#host";
import { DeviceError, ValueError } from "../errors.js";
import type { Engine } from "./engine.js";

export type DeviceType = "cpu" | "cuda" | "webgpu";

export class Device {
  constructor(
    readonly type: DeviceType,
    readonly index: number | null,
    /** @internal */
    readonly engine: Engine,
  ) {}
  toString(): string {
    return this.index === null ? this.type : `${this.type}:${this.index}`;
  }
  /** @internal */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `device(type='${this.type}'${this.index === null ? "" : `, index=${this.index}`})`;
  }
}

export type DeviceLike = Device | DeviceType | `${DeviceType}:${number}`;

const cpuDevices = new Map<CpuEngineName, Device>();
let cpu: Device | null = null;
let fallback: Device | null = null;

function cpuDevice(): Device {
  if (cpu === null) cpu = deviceOn(requestedCpuEngine());
  return cpu;
}

function deviceOn(name: CpuEngineName | null): Device {
  const engine = createCpuEngine(
    name,
    cpuDevices.get("native")?.engine ?? null,
    cpuDevices.get("wasm")?.engine ?? null,
  );
  const known = cpuDevices.get(engine.name as CpuEngineName);
  if (known !== undefined) return known;
  const made = new Device("cpu", null, engine);
  cpuDevices.set(engine.name as CpuEngineName, made);
  return made;
}

/** Chooses the engine under `cpu` for tensors made from now on: "native" or "wasm". */
export function setCpuEngine(name: CpuEngineName): void {
  const next = deviceOn(name);
  if (fallback === cpu) fallback = next;
  cpu = next;
}

/** The engine that runs `cpu` now. */
export const cpuEngineName = (): CpuEngineName => cpuDevice().engine.name as CpuEngineName;

/**
 * The device of that name. `torch.device("cpu")` always exists; a GPU that is absent is a DeviceError.
 * https://pytorch.org/docs/stable/tensor_attributes.html#torch.device
 */
export function device(name: DeviceLike): Device {
  if (name instanceof Device) return name;
  const [type, index] = name.split(":");
  if (type === "cpu") {
    if (index !== undefined && index !== "0") throw new DeviceError(`device: there is one cpu, not '${name}'`);
    return cpuDevice();
  }
  if (type === "cuda" || type === "webgpu") {
    throw new DeviceError(`device: '${name}' is not available: cresset has no ${type} engine yet`);
  }
  throw new ValueError(`device: '${name}' is not a device; expected "cpu", "cuda" or "webgpu"`);
}

/** The device of tensors that name none. */
export function defaultDevice(): Device {
  if (fallback === null) fallback = cpuDevice();
  return fallback;
}
export const getDefaultDevice = defaultDevice;

/** Sets the device of tensors that name none. https://pytorch.org/docs/stable/generated/torch.set_default_device.html */
export function setDefaultDevice(name: DeviceLike): void {
  fallback = device(name);
}

/** Threads the CPU engine may use. https://pytorch.org/docs/stable/generated/torch.set_num_threads.html */
export function setNumThreads(count: number): void {
  if (!Number.isInteger(count) || count < 1) throw new ValueError(`setNumThreads: ${count} is not a positive integer`);
  cpuDevice().engine.threads = count;
}
export const getNumThreads = (): number => cpuDevice().engine.threads;

/**
 * Whether kernels take denormal numbers for zero, which some processors are slow with; off at first. Gives false, and changes
 * nothing, where the engine or the processor cannot (wasm). https://pytorch.org/docs/stable/generated/torch.set_flush_denormal.html
 */
export function setFlushDenormal(mode: boolean): boolean {
  return cpuDevice().engine.setFlushDenormal(mode);
}
