/** Sizes that no host has memory for: a typed error, and everything goes on. */
import { beforeAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { engines, onEngine } from "../ops/cases.js";

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));

  it.each([33, 37, 38, 39, 40])("refuses 2^%i numbers", (power) => {
    expect(() => torch.empty([2 ** power], { dtype: "float64" })).toThrow(torch.DeviceError);
    expect(() => torch.empty([2 ** (power - 20), 2 ** 20])).toThrow(/bytes/);
    expect(torch.ones([3]).sum().item()).toBe(3);
  });
});
