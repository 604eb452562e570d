/** Random programs, compiled: whatever is fused, inlined and left out, they give the digits of the eager program. */
import fc from "fast-check";
import { afterAll, describe, it } from "vitest";
import * as torch from "../../src/index.js";
import { nn, type Tensor } from "../../src/index.js";

const F = nn.functional;

const maps: readonly ((x: Tensor) => Tensor)[] = [
  (x) => x.exp().clamp(-5, 5),
  (x) => F.gelu(x),
  (x) => x.sigmoid(),
  (x) => x.relu(),
  (x) => x.tanh(),
  (x) => x.mul(0.37),
  (x) => x.neg(),
  (x) => x.square().mul(0.1),
  (x) => x.abs().sqrt(),
  (x) => x.clone().mul_(0.9).add_(0.5),
];
const pairs: readonly ((x: Tensor, y: Tensor) => Tensor)[] = [
  (x, y) => x.add(y),
  (x, y) => x.mul(y),
  (x, y) => x.sub(y, { alpha: 0.3 }),
  (x, y) => x.maximum(y),
  (x, y) => torch.where(x.gt(y), x, y),
  (x, y) => x.div(y.abs().add(1)),
];
/** Of a matrix. */
const others: readonly ((x: Tensor) => Tensor)[] = [
  (x) => x.sum(1, { keepdim: true }),
  (x) => x.mean(0),
  (x) => x.amax(1, { keepdim: true }),
  (x) => x.var(1, { correction: 0, keepdim: true }),
  (x) => F.softmax(x, 1),
  (x) => F.layerNorm(x, [x.shape[1] as number]),
  (x) => x.t(),
  (x) => x.t().contiguous(),
  (x) => x.narrow(1, (x.shape[1] as number) >> 1, ((x.shape[1] as number) + 1) >> 1),
];

/** A step: its kind, which of that kind, and which of the tensors so far it takes. */
const step = fc.tuple(fc.constantFrom("map", "pair", "other", "product"), fc.nat(99), fc.nat(99), fc.nat(99));
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const fits = (x: Tensor, y: Tensor): boolean => {
  const n = Math.min(x.shape.length, y.shape.length);
  const ends = [x, y].map((t) => t.shape.slice(t.shape.length - n));
  return ends[0]?.every((s, i) => s === ends[1]?.[i] || s === 1 || ends[1]?.[i] === 1) === true;
};

/** What a step makes; null where it does not apply. */
function take([kind, which, i, j]: Step, known: readonly Tensor[]): Tensor | null {
  const of = <T>(list: readonly T[], k: number): T => list[k % list.length] as T;
  const x = of(known, i);
  const matrices = known.filter((t) => t.shape.length === 2);
  if (kind === "map") return of(maps, which)(x);
  if (kind === "pair") {
    const partners = known.filter((t) => fits(x, t));
    return of(pairs, which)(x, of(partners, j));
  }
  if (kind === "other") return of(others, which)(of(matrices, i));
  const a = of(matrices, i);
  const right = matrices.filter((t) => t.shape[0] === a.shape[1]);
  const turned = matrices.filter((t) => t.shape[1] === a.shape[1]);
  const b = which % 2 === 0 && right.length > 0 ? of(right, j) : of(turned, j).t();
  return a.matmul(b).mul(0.1);
}

const program = fc.record({
  rows: fc.constantFrom(1, 2, 5, 9, 40),
  columns: fc.constantFrom(3, 8, 33, 150, 300),
  steps: fc.array(step, { minLength: 2, maxLength: 12 }),
  train: fc.boolean(),
});

describe.each([
  ["native", 30],
  ["wasm", 250],
] as const)("random programs on %s", (engine, numRuns) => {
  afterAll(() => torch.setCpuEngine("native"));
  it("are what they were", { timeout: 240_000 }, () => {
    torch.setCpuEngine(engine);
    fc.assert(
      fc.property(program, ({ rows, columns, steps, train }) => {
        const run = (...given: Tensor[]): Tensor[] => {
          const known = [...given];
          for (const s of steps) {
            const made = take(s, known);
            if (made !== null && made.numel() <= 20000) known.push(made);
          }
          return known.slice(-3);
        };
        const gradients = (...given: Tensor[]): Tensor[] => {
          const leaves = given.map((t) => t.clone().requiresGrad_());
          const loss = run(...leaves)
            .map((t) => t.mean())
            .reduce((sum, t) => sum.add(t));
          const found = torch.autograd.grad(loss, leaves, { allowUnused: true });
          return [loss.detach(), ...found.filter((g) => g !== null)];
        };
        const eager = train ? gradients : run;
        const compiled = torch.compile(eager);
        for (let i = 0; i < 2; i++) {
          const given = [[rows, columns], [rows, columns], [columns], [rows, 1]].map((shape) => torch.randn(shape));
          const want = eager(...given).map((t) => t.tolist());
          const got = compiled(...given).map((t) => t.tolist());
          if (JSON.stringify(got) !== JSON.stringify(want)) {
            throw new Error(
              `run ${i}: ${JSON.stringify(got).slice(0, 300)}\nexpected ${JSON.stringify(want).slice(0, 300)}`,
            );
          }
        }
      }),
      { numRuns },
    );
  });
});
