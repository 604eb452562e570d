/** Width and height of a drawing in pixels. */
export function svgSize(svg: string): { width: number; height: number } {
  const size = (name: string): number => {
    const [, number, unit] = new RegExp(`<svg[^>]*?\\b${name}="([\\d.]+)(pt|px)?"`).exec(svg) ?? [];
    // Graphviz measures in points: three quarters of a pixel.
    return Number(number ?? 0) * (unit === "pt" ? 4 / 3 : 1);
  };
  return { width: size("width"), height: size("height") };
}
