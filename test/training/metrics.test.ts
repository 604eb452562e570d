/** Metrics against scikit-learn (test/fixtures/make_training.py), batch by batch, and what they refuse. */
import { readFileSync } from "node:fs";
import { tensor } from "cresset";
import { Accuracy, AUROC, ConfusionMatrix, F1Score, Mean, MetricCollection, Precision, Recall } from "cresset/training";
import { describe, expect, it } from "vitest";

const fixture = JSON.parse(readFileSync(new URL("../fixtures/training.json", import.meta.url), "utf8")) as Record<
  string,
  number & number[] & number[][]
>;
const of = (name: string): number => fixture[name] as number;
const list = (name: string): number[] => fixture[name] as number[];
const numClasses = 4;
const ints = (values: number[]) => tensor(values, { dtype: "int32" });

/** The data in batches of 25, so that the last is shorter. */
const batches = [0, 25, 50].map((from) => {
  const to = Math.min(from + 25, list("target").length);
  return {
    scores: tensor(list("scores").slice(numClasses * from, numClasses * to)).reshape(-1, numClasses),
    target: ints(list("target").slice(from, to)),
    binaryScores: tensor(list("binaryScores").slice(from, to)),
    binaryTarget: ints(list("binaryTarget").slice(from, to)),
  };
});

describe("metrics agree with scikit-learn", () => {
  it.each([
    ["accuracy", new Accuracy({ numClasses })],
    ["balanced", new Accuracy({ numClasses, average: "macro" })],
    ["top2", new Accuracy({ numClasses, topK: 2 })],
    ["top3", new Accuracy({ numClasses, topK: 3 })],
    ["precision.macro", new Precision({ numClasses })],
    ["precision.micro", new Precision({ numClasses, average: "micro" })],
    ["precision.weighted", new Precision({ numClasses, average: "weighted" })],
    ["recall.macro", new Recall({ numClasses })],
    ["recall.weighted", new Recall({ numClasses, average: "weighted" })],
    ["f1.macro", new F1Score({ numClasses })],
    ["f1.micro", new F1Score({ numClasses, average: "micro" })],
    ["f1.weighted", new F1Score({ numClasses, average: "weighted" })],
    ["auc.macro", new AUROC({ numClasses })],
    ["auc.weighted", new AUROC({ numClasses, average: "weighted" })],
  ])("%s", (name, metric) => {
    // Class 3 is never a target; scikit-learn's balanced accuracy leaves it out, ours counts it where it was answered.
    const expected = name === "balanced" ? list("recall.perClass").reduce((a, b) => a + b, 0) / 4 : of(name);
    for (let round = 0; round < 2; round++) {
      for (const { scores, target } of batches) metric.update(scores, target);
      expect(metric.compute()).toBeCloseTo(expected, 12);
      metric.reset();
    }
  });

  it.each([
    ["precision.binary", new Precision()],
    ["recall.binary", new Recall()],
    ["f1.binary", new F1Score()],
    ["auc.binary", new AUROC()],
  ])("%s", (name, metric) => {
    for (const { binaryScores, binaryTarget } of batches) metric.update(binaryScores, binaryTarget);
    expect(metric.compute()).toBeCloseTo(of(name), 12);
  });

  it("for each class", () => {
    for (const [name, metric] of [
      ["precision", new Precision({ numClasses })],
      ["recall", new Recall({ numClasses })],
      ["f1", new F1Score({ numClasses })],
    ] as const) {
      for (const { scores, target } of batches) metric.update(scores, target);
      for (const [c, value] of metric.perClass().entries()) {
        expect(value).toBeCloseTo(list(`${name}.perClass`)[c] as number, 12);
      }
    }
  });

  it("the confusion matrix, from scores or from class numbers", () => {
    const confusion = new ConfusionMatrix({ numClasses });
    for (const { scores, target } of batches) confusion.update(scores, target);
    expect(confusion.compute().tolist()).toEqual(fixture["confusion"]);
    const again = new ConfusionMatrix({ numClasses });
    for (const { scores, target } of batches) again.update(scores.argmax(1), target);
    expect(again.compute().equal(confusion.compute())).toBe(true);
  });
});

describe("metrics", () => {
  it("take images of class numbers", () => {
    const accuracy = new Accuracy({ numClasses: 2 });
    const scores = tensor([[[[0.9, 0.1]], [[0.1, 0.9]]]]); // (1, 2, 1, 2)
    expect(accuracy.of(scores, tensor([[[0, 0]]], { dtype: "int32" }))).toBe(0.5);
  });

  it("with logits, threshold 0", () => {
    const scores = tensor([-1, 0.2, 3]);
    expect(new Accuracy({ threshold: 0 }).of(scores, ints([0, 1, 1]))).toBe(1);
    expect(new Accuracy().of(scores, ints([0, 1, 1]))).toBeCloseTo(2 / 3, 12);
  });

  it("means are weighted, and of a tensor each element counts", () => {
    const mean = new Mean();
    mean.update(1, 3);
    mean.update(tensor([2, 4]));
    expect(mean.compute()).toBe(9 / 5);
  });

  it("collections share their batches", () => {
    const metrics = new MetricCollection({
      accuracy: new Accuracy({ numClasses }),
      confusion: new ConfusionMatrix({ numClasses }),
    });
    for (const { scores, target } of batches) metrics.update(scores, target);
    const { accuracy, confusion } = metrics.compute();
    expect(accuracy).toBeCloseTo(of("accuracy"), 12);
    expect(confusion.shape).toEqual([4, 4]);
    metrics.reset();
    expect(() => metrics.compute()).toThrow("Accuracy.compute: nothing has been counted");
  });

  it("a class without members has no area", () => {
    expect(new AUROC().of(tensor([0.1, 0.2]), ints([1, 1]))).toBeNaN();
  });

  it.each([
    [
      "classes out of range",
      () => new Accuracy({ numClasses: 3 }).update(ints([0, 3]), ints([0, 1])),
      /predictions hold 3; classes are 0 to 2/,
    ],
    [
      "targets out of range",
      () => new Accuracy({ numClasses: 3 }).update(ints([0, 1]), ints([0, -1])),
      /targets hold -1/,
    ],
    ["shapes", () => new Accuracy({ numClasses: 3 }).update(ints([0, 1]), ints([0])), /\(2\) do not fit targets \(1\)/],
    ["columns", () => new F1Score({ numClasses: 3 }).update(tensor([[0.5, 0.5]]), ints([0])), /expected \(N, 3, …\)/],
    ["floating targets", () => new Recall().update(tensor([0.5]), tensor([1])), /class numbers, not float32/],
    ["NaN", () => new AUROC().update(tensor([Number.NaN]), ints([1])), /a score is NaN/],
    [
      "NaN among the scores of classes",
      () => new Accuracy({ numClasses: 2 }).update(tensor([[Number.NaN, 1]]), ints([1])),
      /Accuracy: a score is NaN/,
    ],
    [
      "NaN among the k largest",
      () => new Accuracy({ numClasses: 3, topK: 2 }).update(tensor([[Number.NaN, 1, 0]]), ints([1])),
      /Accuracy: a score is NaN/,
    ],
    [
      "a text as a value",
      () => new Mean().update("1" as never),
      /Mean.update: value is "1"; it must be a number or a tensor/,
    ],
    ["NaN compared with a threshold", () => new Recall().update(tensor([Number.NaN]), ints([1])), /a score is NaN/],
    ["threshold and classes", () => new Accuracy({ numClasses: 3, threshold: 0.1 }), /threshold is for two classes/],
    ["one class", () => new Accuracy({ numClasses: 1 }), /2 or more/],
    ["topK", () => new Accuracy({ numClasses: 3, topK: 4 }), /from 1 to 3/],
    ["binary of three", () => new F1Score({ numClasses: 3, average: "binary" }), /for two classes, not 3/],
    ["no batch", () => new F1Score({ numClasses: 3 }).compute(), /call update\(\) first/],
    ["a negative weight", () => new Mean().update(1, -1), /must not be negative/],
  ])("refuse %s", (_, act, message) => {
    expect(act).toThrow(message);
  });
});
