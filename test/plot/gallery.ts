/** One figure of each kind, always the same: what the image tests look at. */
import * as torch from "cresset";
import { DataFrame } from "cresset/data";
import * as plot from "cresset/plot";
import { SyntheticDigits } from "cresset/vision";

const figsize = [5, 3.4] as const;
const wave = (n: number, f: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => f(i));

export function gallery(): Record<string, plot.Figure> {
  const digits = new SyntheticDigits({ length: 12, seed: 1 });
  const losses = wave(900, (i) => 0.08 + 0.8 * Math.exp(-i / 150) * (0.7 + 0.5 * Math.abs(Math.sin(i * 1.7))));
  const line = plot.line(
    { train: [0.9, 0.5, 0.3, 0.2, 0.15, 0.12], test: [0.95, 0.6, 0.42, 0.38, 0.37, 0.39] },
    { xlabel: "epoch", ylabel: "loss", title: "학습 곡선", marker: "o", figsize },
  );
  const bars = new DataFrame([0.01, 0.02, 0.05, 0.02, 0.03, 0.01, 0, 0.91, 0.02, 0.06]);
  const bar = bars.plot({ kind: "bar", legend: false, ylim: [0, 1], title: "신경망의 대답", figsize });
  const hist = plot.hist(
    wave(2000, (i) => Math.sin(i) + Math.sin(i * 1.3) + Math.sin(i * 0.7)),
    { bins: 40, xlabel: "weight", title: "가중치 분포", figsize },
  );
  const scatter = plot.scatter(
    wave(120, (i) => Math.sin(i * 1.1) * (1 + (i % 3))),
    wave(120, (i) => Math.cos(i * 1.9) * (3 - (i % 3))),
    {
      labels: wave(120, (i) => i % 3).map((i) => ["zero", "one", "two"][i]!),
      xlabel: "x",
      ylabel: "y",
      title: "두 성분",
      figsize,
    },
  );
  const a = torch.tensor(2, { requiresGrad: true });
  const b = torch.tensor(1, { requiresGrad: true });
  const x = a.mul(2).add(b.mul(3));
  const y = a.mul(a).mul(5).add(b.pow(3).mul(3));
  const truth = wave(1000, (i) => i % 10);
  const rgb = torch.stack([
    torch.linspace(0, 1, 24).expand([16, 24]),
    torch.linspace(0, 1, 16).unsqueeze(1).expand([16, 24]),
    torch.full([16, 24], 0.4),
  ]);
  return {
    imshow: plot.imshow(digits.get(0)[0], {
      cmap: "Blues",
      interpolation: "none",
      title: "정답 = 7",
      figsize: [3.6, 3.6],
    }),
    images: plot.imshow(
      [...digits].map(([image]) => image),
      {
        cmap: "gray_r",
        titles: [...digits].map(([, label]) => String(label)),
        title: "합성 숫자",
        figsize: [5, 1],
      },
    ),
    rgb: plot.imshow(rgb, { title: "색", figsize: [4, 4] }),
    progress: plot.plotProgress(losses, { every: 10, title: "손실", figsize: [8, 4] }),
    line,
    bar,
    hist,
    scatter,
    confusion: plot.confusionMatrix(
      truth,
      truth.map((label, i) => (i % 7 === 0 ? (label * 3 + 1) % 10 : label)),
      { title: "혼동 행렬" },
    ),
    graph: plot.graph(x.mul(2).add(y.mul(3)), { names: { a, b }, title: "a, b → x, y → z" }),
    grid: plot.grid([line, hist, bar, scatter], { title: "네 그림" }),
  };
}
