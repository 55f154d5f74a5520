import { BarChart, CustomChart, LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import type { EChartsCoreOption } from "echarts/core";
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";
import { useEffect, useMemo, useRef } from "react";

import { formOf, number, rowName, type Answer, type Form } from "./answer";

echarts.use([
  BarChart,
  CustomChart,
  LineChart,
  ScatterChart,
  GridComponent,
  LegendComponent,
  TooltipComponent,
  CanvasRenderer,
  SVGRenderer,
]);

interface Look {
  ink: string;
  muted: string;
  line: string;
  surface: string;
  accent: string;
}

function look(): Look {
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
const PAPER: Look = {
  ink: "#14212a",
  muted: "#52626d",
  line: "#dbe2e4",
  surface: "#ffffff",
  accent: "#0b6a6c",
};

const FONT = 'ui-sans-serif, system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

interface Bar {
  x: number;
  low: number;
  high: number;
}

/** Error bars: a line from the lower to the upper end, with a cap at each. */
function whiskers(bars: Bar[], colour: string, offset: number): object {
  return {
    type: "custom",
    silent: true,
    z: 4,
    data: bars.map((bar) => [bar.x, bar.low, bar.high]),
    encode: { x: 0, y: [1, 2] },
    renderItem: (_: unknown, api: WhiskerApi) => {
      const low = api.coord([api.value(0), api.value(1)]);
      const high = api.coord([api.value(0), api.value(2)]);
      const wide = (api.size([1, 0])[0] ?? 0) * offset;
      const x = (low[0] ?? 0) + wide;
      const cap = 4;
      const stroke = { stroke: colour, lineWidth: 1.25, fill: null };
      const line = (x1: number, y1: number, x2: number, y2: number) => ({
        type: "line",
        shape: { x1, y1, x2, y2 },
        style: stroke,
      });
      return {
        type: "group",
        children: [
          line(x, low[1] ?? 0, x, high[1] ?? 0),
          line(x - cap, low[1] ?? 0, x + cap, low[1] ?? 0),
          line(x - cap, high[1] ?? 0, x + cap, high[1] ?? 0),
        ],
      };
    },
  };
}

interface WhiskerApi {
  value(dimension: number): number;
  coord(point: number[]): number[];
  size(of: number[]): number[];
}

/** Shades of the one accent, told apart by lightness; the legend and the table name them too. */
function shades(count: number, accent: string, surface: string): string[] {
  const mix = (part: number) => `color-mix(in srgb, ${accent} ${part}%, ${surface})`;
  return Array.from({ length: count }, (_, at) => resolved(mix(72 - (at * 48) / Math.max(1, count - 1))));
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

function frame(at: Look, names: string[], isLong: boolean): EChartsCoreOption {
  return {
    animation: false,
    textStyle: { fontFamily: FONT, color: at.ink },
    backgroundColor: at.surface,
    grid: { left: 8, right: 16, top: 34, bottom: 8, outerBoundsMode: "same" },
    xAxis: {
      type: "category",
      data: names,
      axisTick: { show: false },
      axisLine: { lineStyle: { color: at.muted } },
      axisLabel: { color: at.muted, hideOverlap: true, rotate: isLong ? 35 : 0, fontSize: 12 },
    },
    yAxis: {
      type: "value",
      scale: false,
      axisLabel: { color: at.muted, fontSize: 12, formatter: (value: number) => number(value) },
      splitLine: { lineStyle: { color: at.line } },
    },
  };
}

function points(answer: Answer): Bar[] {
  return answer.rows.flatMap((row, x) =>
    row.estimate === null ? [] : [{ x, low: row.estimate.lower, high: row.estimate.upper }],
  );
}

function drawing(answer: Answer, form: Form, asLine: boolean, at: Look): EChartsCoreOption {
  if (form === "grouped") return grouped(answer, at);
  const names = answer.rows.map((row) => rowName(row, answer));
  const isLong = names.length > 6 && names.some((name) => name.length > 9);
  const values = answer.rows.map((row) => row.estimate?.value ?? null);
  const line = { type: "line", data: values, symbol: "circle", symbolSize: 7, color: at.accent };
  // Light enough that the lower half of a whisker is seen on it.
  const bars = {
    type: "bar",
    data: values,
    color: shades(1, at.accent, at.surface)[0],
    barCategoryGap: form === "histogram" ? "4%" : "45%",
    barMaxWidth: form === "histogram" ? null : 56,
  };
  const scatter = { type: "scatter", data: values, symbolSize: 9, color: at.accent };
  const series = form === "points" ? scatter : asLine ? line : bars;
  return {
    ...frame(at, names, isLong),
    tooltip: tooltip(answer, at),
    series: [series, whiskers(points(answer), at.ink, 0)],
  };
}

function grouped(answer: Answer, at: Look): EChartsCoreOption {
  const outer = [...new Set(answer.rows.map((row) => row.key[0] ?? ""))];
  const inner = [...new Set(answer.rows.map((row) => row.key[1] ?? ""))];
  const colours = shades(inner.length, at.accent, at.surface);
  const width = 0.72 / inner.length;
  const series = inner.flatMap((second, number) => {
    const rows = outer.map((first) =>
      answer.rows.find((row) => row.key[0] === first && row.key[1] === second),
    );
    const whisker = rows.flatMap((row, x) => {
      const estimate = row?.estimate;
      return estimate ? [{ x, low: estimate.lower, high: estimate.upper }] : [];
    });
    return [
      {
        type: "bar",
        name: second,
        data: rows.map((row) => row?.estimate?.value ?? null),
        color: colours[number],
        barWidth: `${width * 100}%`,
        barGap: "0%",
      },
      whiskers(whisker, at.ink, (number - (inner.length - 1) / 2) * width),
    ];
  });
  return {
    ...frame(at, outer, outer.length > 6),
    legend: { data: inner, top: 0, right: 0, textStyle: { color: at.muted }, itemHeight: 10 },
    tooltip: { trigger: "item", ...box(at) },
    series,
  };
}

function box(at: Look): object {
  return {
    backgroundColor: at.surface,
    borderColor: at.line,
    textStyle: { color: at.ink, fontSize: 13 },
    renderMode: "richText",
  };
}

function tooltip(answer: Answer, at: Look): object {
  return {
    trigger: "axis",
    axisPointer: { type: "none" },
    ...box(at),
    formatter: (hovered: { dataIndex: number }[]) => {
      const row = answer.rows[hovered[0]?.dataIndex ?? -1];
      if (row === undefined) return "";
      const e = row.estimate;
      const text = e === null ? "drowned in the noise" : `${number(e.value)}\n95 %: ${number(e.lower)} to ${number(e.upper)}`;
      return `${rowName(row, answer)}\n${text}`;
    },
  };
}

export function Chart({
  answer,
  asLine,
  isDark,
  label,
}: {
  answer: Answer;
  asLine: boolean;
  isDark: boolean;
  label: string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const form = formOf(answer);
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const chart = echarts.init(element, null, { renderer: "canvas" });
    chart.setOption(drawing(answer, form, asLine, look()));
    const resized = new ResizeObserver(() => chart.resize());
    resized.observe(element);
    return () => {
      resized.disconnect();
      chart.dispose();
    };
  }, [answer, form, asLine, isDark]);
  return <div ref={place} className="chart" role="img" aria-label={label} />;
}

/** The chart as a file's text: vectors, on white. */
export function asSvg(answer: Answer, asLine: boolean): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 900, height: 480 });
  chart.setOption(drawing(answer, formOf(answer), asLine, PAPER));
  const text = chart.renderToSVGString();
  chart.dispose();
  return text;
}

/** The chart as a picture, on white, at twice the size. */
export function asPng(answer: Answer, asLine: boolean): Promise<Blob> {
  const canvas = document.createElement("canvas");
  canvas.width = 900;
  canvas.height = 480;
  const chart = echarts.init(canvas, null, { renderer: "canvas", devicePixelRatio: 2, width: 900, height: 480 });
  chart.setOption(drawing(answer, formOf(answer), asLine, PAPER));
  return new Promise((done, failed) => {
    canvas.toBlob((blob) => {
      chart.dispose();
      if (blob === null) failed(new Error("The picture could not be drawn."));
      else done(blob);
    }, "image/png");
  });
}

export function useForm(answer: Answer): Form {
  return useMemo(() => formOf(answer), [answer]);
}
