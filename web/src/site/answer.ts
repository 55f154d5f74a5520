import type { Answered, ColumnKind, Profile } from "./api";
import { asked } from "./question";
import { band, type Noise, type Place, type Released, type Steps } from "./band";

export interface Estimate {
  value: number;
  lower: number;
  upper: number;
  /** None for what was worked out here. */
  standard_error: number | null;
}

export interface AnswerRow {
  key: string[];
  name: string;
  estimate: Estimate | null;
}

export interface Answer {
  key_columns: string[];
  rows: AnswerRow[];
  noise: Noise[][];
  interval: string;
  bias: string;
  released: Released;
}

/** An answer as the page shows it. */
export interface Shown {
  answer: Answer;
  answered: Answered;
  permit: string;
  dataset: string;
  sql: string | null;
  /** The question that was signed. */
  question: string;
  /** What is publicly known of the dataset. */
  profile: Profile;
  /** How far a followed count has come; none for a question that was asked once. */
  followed: Followed | null;
  /** The salted hash of what came, which the receipt has to name. */
  hash: string;
}

/** What comes for a count that is followed: the newest answer, and all before it again. */
export interface Followed {
  terms: { ticks: number; turns: number };
  series: { tick: number; version: number; at: string; estimate: Estimate }[];
  noise: Noise;
}

/** What was opened, as an answer: of a followed count, the moments are its keys. */
export function read(opened: string): { answer: Answer; followed: Followed | null } {
  const said = JSON.parse(opened) as Answer | Followed;
  if (!("series" in said)) return { answer: said, followed: null };
  const rows = said.series.map(({ at, estimate }) => ({ key: [minute(at)], name: "count", estimate }));
  const made = { interval: "summed-nodes", bias: "turns", released: [] as unknown as Released };
  return { answer: { key_columns: ["counted at"], rows, noise: [[said.noise]], ...made }, followed: said };
}

function minute(at: string): string {
  return at.slice(0, 16).replace("T", " ");
}

const INTERVALS: Record<string, string> = {
  exact: "from the noise distribution itself",
  "summed-noise": "from the summed noise of several holders",
  simultaneous: "for all groups at once, since the shown ones were selected",
  simulated: "from 2,000 simulated draws of the noise",
  "summed-nodes": "from the summed noise of the numbers that each count is put together of",
  "rank-band": "from a band of ranks around the noisy distribution",
};

const BIASES: Record<string, string> = {
  none: "No systematic error over the rows that count.",
  clipping: "Values outside the column's bounds count as the bound.",
  ratio: "A ratio of noisy sums: slightly biased when the noise is not small beside it.",
  root: "A root of a noisy variance: biased downwards when the noise is not small beside it.",
  grid: "Values are known to a grid of the column's bounds.",
  extreme: "An extreme value is found only where enough rows lie at it.",
  selected: "Shown groups were selected for being large and are overstated.",
  turns: "Whoever came or left more often than the question says stays as counted.",
  "counted-per-holder": "A value that several holders know is counted once by each.",
};

export const intervalWords = (word: string) => INTERVALS[word] ?? word;
export const biasWords = (word: string) => BIASES[word] ?? word;

const DIGITS = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 5 });
const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

export function number(value: number): string {
  return Math.abs(value) >= 1000 || Number.isInteger(value) ? WHOLE.format(value) : DIGITS.format(value);
}

/** Whether the keys are the two ends of a bin; groups name their columns. */
function isBins(answer: Answer): boolean {
  return answer.key_columns.length === 0 && answer.rows[0]?.key.length === 2;
}

/** What the keys of an answer are of. */
export function keyTitle({ answer, question }: Shown): string {
  if (answer.key_columns.length > 0) return answer.key_columns.join(" · ");
  const isKeyed = answer.rows.some((row) => row.key.length > 0);
  return (isKeyed ? columnsOf(question).column : undefined) ?? "What";
}

/** What a row is about: its group, its bin, its rank; the number's own name where it is alone. */
export function rowName(row: AnswerRow, answer: Answer): string {
  if (row.key.length === 0) return row.name.replaceAll("_", " ");
  return isBins(answer) ? `${short(row.key[0])} – ${short(row.key[1])}` : row.key.join(" · ");
}

function short(end: string | undefined): string {
  if (end === undefined) return "";
  if (/^\d{4}-\d\d-\d\dT/.test(end)) return end.slice(0, 10);
  const value = Number(end);
  return Number.isFinite(value) ? number(value) : end;
}

/** A regression's line: what it explains by what, and the band along the whole of x's bounds. */
export interface Regression {
  x: string;
  y: string;
  /** The bounds of y, in its own unit. */
  range: [low: number, high: number];
  /** None where the noise is larger than what would define a line. */
  places: Place[] | null;
}

function stepsOf(column: ColumnKind | undefined): Steps | null {
  return column !== undefined && column !== "open" && "number" in column ? column.number : null;
}

/** The bounds of a column of numbers, in its own unit. */
export function boundsOf(column: ColumnKind | undefined): [low: number, high: number] | null {
  const steps = stepsOf(column);
  return steps === null ? null : [steps[0] / 10 ** steps[2], steps[1] / 10 ** steps[2]];
}

/** The columns of a question for a line, or for one number about one column. */
function columnsOf(question: string): { x?: string; y?: string; column?: string } {
  const { query } = JSON.parse(asked(question).question) as { query: unknown };
  if (typeof query !== "object" || query === null) return {};
  const inner: unknown = Object.values(query)[0];
  return typeof inner === "object" && inner !== null ? inner : {};
}

/** The line that an answer tells; none when it tells something else. */
export function regressionOf({ answer, question, profile }: Shown): Regression | null {
  if (!answer.rows.some((row) => row.name === "slope")) return null;
  const { x = "", y = "" } = columnsOf(question);
  const [across, up] = [stepsOf(profile.columns[x]), stepsOf(profile.columns[y])];
  const range = boundsOf(profile.columns[y]);
  if (across === null || up === null || range === null) return null;
  return { x, y, range, places: band(answer.released, across, up) };
}

/** Between what the one number of an answer can lie at all, where that is known. */
export function domainOf({ answer, question, profile }: Shown): [low: number, high: number] | null {
  const name = answer.rows[0]?.name ?? "";
  if (!["mean", "minimum", "maximum"].includes(name)) return null;
  return boundsOf(profile.columns[columnsOf(question).column ?? ""]);
}

/** Counts of groups made whole and not negative, so that they add up to what the noisy ones add up to:
 * the nearest point of the simplex (Duchi et al. 2008, Figure 1), then largest remainders. None for others. */
export function consistent({ rows }: Answer): number[] | null {
  const noisy = rows.map((row) => (row.name === "count" && row.key.length > 0 ? (row.estimate?.value ?? null) : null));
  if (noisy.length < 2 || noisy.some((value) => value === null)) return null;
  const values = noisy as number[];
  const total = Math.max(0, Math.round(values.reduce((sum, value) => sum + value, 0)));
  let [sum, shift] = [0, 0];
  [...values]
    .sort((a, b) => b - a)
    .forEach((value, at) => {
      sum += value;
      const candidate = (sum - total) / (at + 1);
      if (value > candidate) shift = candidate;
    });
  const nearest = values.map((value) => Math.max(0, value - shift));
  const whole = nearest.map(Math.floor);
  const missing = total - whole.reduce((all, value) => all + value, 0);
  const byRest = nearest.map((value, at) => [value - Math.floor(value), at] as const);
  byRest.sort(([a, i], [b, j]) => b - a || i - j);
  for (const [, at] of byRest.slice(0, missing)) whole[at] = (whole[at] ?? 0) + 1;
  return whole;
}

/** Bins are histograms, two keys are grouped bars, quantiles and others are points with whiskers. Numbers
 * of different kinds, such as a mean and the count behind it, have no axis in common: the first is shown. */
export type Form = "single" | "bars" | "grouped" | "histogram" | "points" | "regression";

export function formOf(answer: Answer): Form {
  const first = answer.rows[0];
  if (answer.rows.some((row) => row.name === "slope")) return "regression";
  if (first === undefined || answer.rows.every((row) => row.key.length === 0)) {
    return "single";
  }
  if (isBins(answer)) return "histogram";
  if (answer.key_columns.length === 2) return "grouped";
  return first.name === "count" ? "bars" : "points";
}

/** Whether the places of a chart follow each other, so that a line from one to the next says something:
 * bins, and groups whose names differ in a growing number, such as versions, years and days. */
export function isOrdered(answer: Answer): boolean {
  if (formOf(answer) === "histogram") return true;
  const names = [...new Set(answer.rows.map((row) => row.key[0] ?? ""))];
  const parts = names.map((name) => /^(\D*)\d[\d.:T+Z -]*$/.exec(name)?.[1]);
  if (names.length < 3 || parts.some((part) => part === undefined || part !== parts[0])) return false;
  return names.every((name, at) => at === 0 || NATURAL.compare(names[at - 1] ?? "", name) < 0);
}

const NATURAL = new Intl.Collator("en", { numeric: true });

/** Whether the places are moments, which are read as a line first. */
export function isInTime(answer: Answer): boolean {
  return isOrdered(answer) && answer.rows.every((row) => /^\d{4}-\d\d/.test(row.key[0] ?? ""));
}

export function toCsv(shown: Shown): string {
  const cell = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const { answered } = shown;
  const line = regressionOf(shown);
  const answer = line === null ? shown.answer : withPlaces(shown.answer, line);
  const isBin = isBins(shown.answer);
  const column = keyTitle(shown);
  const wide = Math.max(0, ...answer.rows.map((row) => row.key.length));
  const keys = Array.from({ length: wide }, (_, at) => answer.key_columns[at] ?? (at === 0 ? column : `key_${at + 1}`));
  const names = isBin ? [`${column}_from`, `${column}_to`] : keys;
  const head = [...names, "what", "estimate", "lower_95", "upper_95", "standard_error"];
  const lines = answer.rows.map((row) => {
    const e = row.estimate;
    const figures = e === null ? ["", "", "", ""] : [e.value, e.lower, e.upper, e.standard_error ?? ""];
    const padded = Array.from({ length: wide }, (_, at) => row.key[at] ?? "");
    return [...padded, row.name, ...figures].map((one) => cell(String(one))).join(",");
  });
  const notes = [
    `# dataset ${shown.dataset}, permit ${shown.permit}`,
    `# epsilon spent ${answered.epsilon_spent}, delta ${answered.delta}, receipt ${answered.receipt.id}`,
  ];
  return `${[...notes, head.map(cell).join(","), ...lines].join("\r\n")}\r\n`;
}

/** The line's places as rows, so that whoever has the figures can draw the band. */
function withPlaces(answer: Answer, line: Regression): Answer {
  const rows = (line.places ?? []).map(({ x, value, lower, upper }) => ({
    key: [String(x)],
    name: `line of ${line.y}`,
    estimate: { value, lower, upper, standard_error: null },
  }));
  return { ...answer, key_columns: [line.x], rows: [...answer.rows, ...rows] };
}
