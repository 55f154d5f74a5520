import type { EChartsCoreOption } from "echarts/core";
import { useEffect, useRef } from "react";

import { domainOf, number as figure, regressionOf, rowName, type Answer, type AnswerRow, type Estimate, type Form, type Shown } from "./answer";
import { box, echarts, FONT, look, PAPER, resolvedAll, scale, shades, type Look } from "./plot";

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
      axisLine: { show: false },
      axisLabel: { color: at.muted, fontSize: 12, formatter: (value: number) => figure(value) },
      splitLine: { lineStyle: { color: at.line } },
    },
  };
}

function points(answer: Answer): Bar[] {
  return answer.rows.flatMap((row, x) =>
    row.estimate === null ? [] : [{ x, low: row.estimate.lower, high: row.estimate.upper }],
  );
}

/** What is drawn: an answer, its form, and whether places that follow each other are joined. */
export interface Drawn {
  shown: Shown;
  form: Form;
  asLine: boolean;
}

function drawing({ shown, form, asLine }: Drawn, at: Look): EChartsCoreOption {
  const { answer } = shown;
  if (form === "grouped") return asLine ? lines(answer, at) : grouped(answer, at);
  if (form === "single") return single(shown, at);
  if (form === "regression") return regression(shown, at);
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

function twoKeys(answer: Answer): { outer: string[]; inner: string[]; row: (x: number, of: string) => AnswerRow | undefined } {
  const outer = [...new Set(answer.rows.map((row) => row.key[0] ?? ""))];
  const inner = [...new Set(answer.rows.map((row) => row.key[1] ?? ""))];
  const row = (x: number, of: string) => answer.rows.find((row) => row.key[0] === outer[x] && row.key[1] === of);
  return { outer, inner, row };
}

function grouped(answer: Answer, at: Look): EChartsCoreOption {
  const { outer, inner, row } = twoKeys(answer);
  const colours = shades(inner.length, at.accent, at.surface);
  const width = 0.72 / inner.length;
  const series = inner.flatMap((second, number) => {
    const rows = outer.map((_, x) => row(x, second));
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
        tooltip: hovering(outer, second, (x) => row(x, second)?.estimate),
      },
      whiskers(whisker, at.ink, (number - (inner.length - 1) / 2) * width),
    ];
  });
  return { ...legend(frame(at, outer, outer.length > 6), inner, at), series };
}

function legend(option: EChartsCoreOption, names: string[], at: Look): EChartsCoreOption {
  return {
    ...option,
    legend: { data: names, top: 0, right: 0, textStyle: { color: at.muted }, itemHeight: 10, itemWidth: 34 },
    tooltip: { trigger: "item", ...box(at) },
  };
}

function hovering(outer: string[], second: string, of: (x: number) => Estimate | null | undefined): object {
  return {
    formatter: ({ dataIndex }: { dataIndex: number }) =>
      `${outer[dataIndex] ?? ""} · ${second}\n${told(of(dataIndex) ?? null)}`,
  };
}

function told(e: Estimate | null): string {
  return e === null
    ? "drowned in the noise"
    : `${figure(e.value)}\n95 %: ${figure(e.lower)} to ${figure(e.upper)}`;
}

/** Told apart without colour too, where lines cross. */
const SYMBOLS = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect"] as const;
const DASHES = ["solid", "dashed", "dotted"] as const;

/** A line for each second key, their points beside each other, so that no error bar hides another. */
function lines(answer: Answer, at: Look): EChartsCoreOption {
  const { outer, inner, row } = twoKeys(answer);
  const option = legend(frame(at, outer, outer.length > 6), inner, at);
  const part = (n: number) => 100 - (n * 45) / Math.max(1, inner.length - 1);
  const colours = resolvedAll(inner.map((_, n) => `color-mix(in srgb, ${at.accent} ${part(n)}%, ${at.ink})`));
  const series = inner.flatMap((second, number) => {
    const offset = (number - (inner.length - 1) / 2) * Math.min(0.12, 0.5 / inner.length);
    const found = outer.map((_, x) => ({ x: x + offset, estimate: row(x, second)?.estimate ?? null }));
    const colour = colours[number] ?? at.accent;
    const whisker = found.flatMap(({ x, estimate }) =>
      estimate === null ? [] : [{ x, low: estimate.lower, high: estimate.upper }],
    );
    return [
      {
        type: "line",
        name: second,
        xAxisIndex: 1,
        data: found.map(({ x, estimate }) => [x, estimate?.value ?? null]),
        color: colour,
        symbol: SYMBOLS[number % SYMBOLS.length],
        symbolSize: 8,
        lineStyle: { type: DASHES[number % DASHES.length], width: 1.75 },
        tooltip: hovering(outer, second, (x) => found[x]?.estimate),
      },
      { ...whiskers(whisker, colour, 0), xAxisIndex: 1 },
    ];
  });
  // The names stand on one axis; on the other, places have room between them.
  const places = { type: "value", show: false, min: -0.5, max: outer.length - 0.5 };
  return { ...option, xAxis: [option["xAxis"], places], series };
}

/** One number on its scale: where it can lie at all, or from nothing on. */
function single(shown: Shown, at: Look): EChartsCoreOption {
  const row = shown.answer.rows[0];
  const estimate = row?.estimate ?? null;
  const name = row === undefined ? "" : rowName(row, shown.answer);
  const domain = domainOf(shown);
  const { value = 0, lower = 0, upper = 0 } = estimate ?? {};
  return {
    ...frame(at, [name], false),
    grid: { left: 8, right: 24, top: 16, bottom: 8, outerBoundsMode: "same" },
    xAxis: {
      ...scale(at),
      min: domain?.[0] ?? Math.min(0, lower),
      ...(domain === null ? {} : { max: domain[1] }),
    },
    yAxis: {
      type: "category",
      data: [name],
      axisTick: { show: false },
      axisLine: { show: false },
      axisLabel: { color: at.muted, fontSize: 12 },
    },
    tooltip: { show: false },
    series: [
      interval(lower, upper, at.ink),
      { type: "scatter", data: [[value, 0]], symbolSize: 11, color: at.accent, silent: true, z: 5 },
    ],
  };
}

/** An error bar that lies. */
function interval(low: number, high: number, colour: string): object {
  return {
    type: "custom",
    silent: true,
    data: [[low, high, 0]],
    encode: { x: [0, 1], y: 2 },
    renderItem: (_: unknown, api: WhiskerApi) => {
      const [left = 0, y = 0] = api.coord([api.value(0), 0]);
      const [right = 0] = api.coord([api.value(1), 0]);
      const line = (x1: number, y1: number, x2: number, y2: number) => ({
        type: "line",
        shape: { x1, y1, x2, y2 },
        style: { stroke: colour, lineWidth: 1.5, fill: null },
      });
      const cap = 7;
      return {
        type: "group",
        children: [
          line(left, y, right, y),
          line(left, y - cap, left, y + cap),
          line(right, y - cap, right, y + cap),
        ],
      };
    },
  };
}

/** The line over the whole of x's bounds, and the band around it. */
function regression(shown: Shown, at: Look): EChartsCoreOption {
  const line = regressionOf(shown);
  const places = line?.places ?? [];
  const [first, last] = [places[0], places[places.length - 1]];
  if (line === null || first === undefined || last === undefined) return frame(at, [], false);
  const [low, high] = line.range;
  // A band that noise has blown up is cut off a little beyond what y can be.
  const beyond = (high - low) / 4;
  const bottom = Math.max(low - beyond, Math.min(...places.map((place) => place.lower)));
  const top = Math.min(high + beyond, Math.max(...places.map((place) => place.upper)));
  const [fill] = resolvedAll([`color-mix(in srgb, ${at.accent} 22%, ${at.surface})`]);
  const named = { nameTextStyle: { color: at.muted, fontSize: 12 } };
  return {
    ...frame(at, [], false),
    grid: { left: 8, right: 24, top: 34, bottom: 26, outerBoundsMode: "same" },
    xAxis: { ...scale(at), ...named, min: first.x, max: last.x, name: line.x, nameLocation: "middle", nameGap: 26 },
    yAxis: {
      ...scale(at),
      ...named,
      // Whole steps around the band, so that the axis has round numbers.
      scale: true,
      min: ({ min }: { min: number }) => rounded(Math.min(bottom, min), Math.floor, top - bottom),
      max: ({ max }: { max: number }) => rounded(Math.max(top, max), Math.ceil, top - bottom),
      name: line.y,
      nameLocation: "end",
    },
    tooltip: {
      trigger: "axis",
      axisPointer: { type: "line", lineStyle: { color: at.muted } },
      ...box(at),
      formatter: (hovered: { seriesType: string; dataIndex: number }[]) => {
        const place = places[hovered.find((one) => one.seriesType === "line")?.dataIndex ?? -1];
        if (place === undefined) return "";
        const { x, value, lower, upper } = place;
        return `${line.x} ${figure(x)}\n${line.y} ${figure(value)}\n95 %: ${figure(lower)} to ${figure(upper)}`;
      },
    },
    series: [
      {
        type: "custom",
        silent: true,
        clip: true,
        z: 1,
        data: [[first.x, bottom]],
        renderItem: (_: unknown, api: WhiskerApi) => ({
          type: "polygon",
          shape: {
            points: [
              ...places.map((place) => api.coord([place.x, place.upper])),
              ...[...places].reverse().map((place) => api.coord([place.x, place.lower])),
            ],
          },
          style: { fill },
        }),
      },
      {
        type: "line",
        data: places.map((place) => [place.x, place.value]),
        showSymbol: false,
        clip: true,
        lineStyle: { width: 2 },
        color: at.accent,
      },
    ],
  };
}

/** To the next round number, of which there are some tens in `width`. */
function rounded(value: number, how: (value: number) => number, width: number): number {
  const step = 10 ** Math.floor(Math.log10(Math.max(width, 1e-9) / 5));
  return Number((how(value / step) * step).toPrecision(12));
}

function tooltip(answer: Answer, at: Look): object {
  return {
    trigger: "axis",
    axisPointer: { type: "none" },
    ...box(at),
    formatter: (hovered: { dataIndex: number }[]) => {
      const row = answer.rows[hovered[0]?.dataIndex ?? -1];
      if (row === undefined) return "";
      return `${rowName(row, answer)}\n${told(row.estimate)}`;
    },
  };
}

export function Chart({ drawn, isDark, label }: { drawn: Drawn; isDark: boolean; label: string }) {
  const place = useRef<HTMLDivElement>(null);
  const { shown, form, asLine } = drawn;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const chart = echarts.init(element, null, { renderer: "canvas" });
    chart.setOption(drawing({ shown, form, asLine }, look()));
    const resized = new ResizeObserver(() => chart.resize());
    resized.observe(element);
    return () => {
      resized.disconnect();
      chart.dispose();
    };
  }, [shown, form, asLine, isDark]);
  return <div ref={place} className={form === "single" ? "chart low" : "chart"} role="img" aria-label={label} />;
}

function paper(drawn: Drawn): { width: number; height: number } {
  return { width: 900, height: drawn.form === "single" ? 140 : 480 };
}

/** The chart as a file's text: vectors, on white. */
export function asSvg(drawn: Drawn): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, ...paper(drawn) });
  chart.setOption(drawing(drawn, PAPER));
  const text = chart.renderToSVGString();
  chart.dispose();
  return text;
}

/** The chart as a picture, on white, at twice the size. */
export function asPng(drawn: Drawn): Promise<Blob> {
  const canvas = document.createElement("canvas");
  const { width, height } = paper(drawn);
  canvas.width = width;
  canvas.height = height;
  const chart = echarts.init(canvas, null, { renderer: "canvas", devicePixelRatio: 2, width, height });
  chart.setOption(drawing(drawn, PAPER));
  return new Promise((done, failed) => {
    canvas.toBlob((blob) => {
      chart.dispose();
      if (blob === null) failed(new Error("The picture could not be drawn."));
      else done(blob);
    }, "image/png");
  });
}
