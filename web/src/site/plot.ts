/** What every chart of the console is drawn with. */
import { BarChart, CustomChart, LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";

import { number as figure } from "./answer";

echarts.use([
  BarChart,
  CustomChart,
  LineChart,
  ScatterChart,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TooltipComponent,
  CanvasRenderer,
  SVGRenderer,
]);

export { echarts };

export interface Look {
  ink: string;
  muted: string;
  line: string;
  surface: string;
  accent: string;
}

export function look(): Look {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    ink: of("--ink"),
    muted: of("--muted"),
    line: of("--line"),
    surface: of("--surface"),
    accent: of("--accent"),
  };
}

/** What is drawn in print and elsewhere: dark on white, whatever the page looks like. */
export const PAPER: Look = {
  ink: "#14212a",
  muted: "#52626d",
  line: "#dbe2e4",
  surface: "#ffffff",
  accent: "#0b6a6c",
};

// Single quotes: the vectors have it in an attribute between double ones.
export const FONT = "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

/** Shades of the one accent, told apart by lightness; the legend and the table name them too. */
export function shades(count: number, accent: string, surface: string): string[] {
  const mix = (part: number) => `color-mix(in srgb, ${accent} ${part}%, ${surface})`;
  return resolvedAll(Array.from({ length: count }, (_, at) => mix(72 - (at * 48) / Math.max(1, count - 1))));
}

export function resolvedAll(colours: string[]): string[] {
  return colours.map(resolved);
}

/** A colour that the canvas and other programs understand. */
function resolved(colour: string): string {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  if (context === null) return colour;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red = 0, green = 0, blue = 0] = context.getImageData(0, 0, 1, 1).data;
  return `rgb(${red}, ${green}, ${blue})`;
}

/** An axis of numbers. */
export function scale(at: Look): object {
  return {
    type: "value",
    axisLabel: { color: at.muted, fontSize: 12, hideOverlap: true, formatter: (value: number) => figure(value) },
    axisLine: { show: true, onZero: false, lineStyle: { color: at.muted } },
    splitLine: { lineStyle: { color: at.line } },
  };
}

/** The box that says what is under the pointer. */
export function box(at: Look): object {
  return {
    backgroundColor: at.surface,
    borderColor: at.line,
    textStyle: { color: at.ink, fontSize: 13 },
    renderMode: "richText",
  };
}
