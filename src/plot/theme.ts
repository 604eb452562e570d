/** The colours and type of figures. The palette is told apart by every kind of colour vision (Okabe and Ito, 2008). */

export type Theme = "light" | "dark";

export interface Colours {
  /** Whether what is drawn is light on dark. */
  readonly dark: boolean;
  readonly background: string;
  readonly text: string;
  /** Axis lines and ticks. */
  readonly line: string;
  readonly grid: string;
  readonly palette: readonly string[];
}

export const themes: Readonly<Record<Theme, Colours>> = {
  light: {
    dark: false,
    background: "#ffffff",
    text: "#1f2328",
    line: "#8c959f",
    grid: "#e4e8ec",
    palette: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6e7781"],
  },
  dark: {
    dark: true,
    background: "#0d1117",
    text: "#e6edf3",
    line: "#6e7681",
    grid: "#262c36",
    palette: ["#56b4e9", "#f28e2b", "#2cc295", "#e28dc0", "#f0e442", "#7aa2ff", "#9da7b3"],
  },
};

/** A theme's colours, on its ground or on none. */
export const coloursOf = (theme: Theme, transparent: boolean): Colours =>
  transparent ? { ...themes[theme], background: "transparent" } : themes[theme];

/** A system's own type, then the names of fonts that have hangul, for renderers that do not choose by themselves. */
export const font =
  "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK KR', 'Apple SD Gothic Neo', 'Malgun Gothic', NanumGothic, sans-serif";

/** Vega's settings: what every chart of ours looks like. */
export function configOf({ background, text, line, grid, palette }: Colours, width: number): Record<string, unknown> {
  // Wide figures are read from further away, or made smaller to fit a page.
  const type = (size: number): number => Math.round(size * Math.min(1.4, Math.max(1, width / 800)));
  return {
    background,
    font,
    padding: 12,
    aria: false,
    axis: {
      labelColor: text,
      titleColor: text,
      domainColor: line,
      tickColor: line,
      gridColor: grid,
      labelFontSize: type(11),
      titleFontSize: type(12),
      labelFlush: false,
      titleFontWeight: "normal",
      titlePadding: 8,
      labelPadding: 4,
    },
    title: { color: text, fontSize: type(14), fontWeight: 600, offset: 10, anchor: "middle" },
    legend: {
      labelColor: text,
      titleColor: text,
      labelFontSize: type(11),
      titleFontSize: type(11),
      titleFontWeight: "normal",
      symbolOpacity: 1,
      orient: "top-right",
      fillColor: background,
      strokeColor: grid,
      padding: 6,
      cornerRadius: 4,
    },
    view: { stroke: line, strokeWidth: 0.8 },
    range: { category: palette },
  };
}
