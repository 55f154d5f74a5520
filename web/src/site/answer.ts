import type { Answered } from "./api";

export interface Estimate {
  value: number;
  lower: number;
  upper: number;
  standard_error: number;
}

export interface AnswerRow {
  key: string[];
  name: string;
  estimate: Estimate | null;
}

export interface Answer {
  key_columns: string[];
  rows: AnswerRow[];
  noise: { mechanism: string; scale: number | string }[][];
  interval: string;
  bias: string;
}

/** An answer as the page shows it. */
export interface Shown {
  answer: Answer;
  answered: Answered;
  permit: string;
  dataset: string;
  sql: string | null;
  /** The salted hash of what came, which the receipt has to name. */
  hash: string;
}

const INTERVALS: Record<string, string> = {
  exact: "from the noise distribution itself",
  "summed-noise": "from the summed noise of several holders",
  simultaneous: "for all groups at once, since the shown ones were selected",
  simulated: "from 2,000 simulated draws of the noise",
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
  "counted-per-holder": "A value that several holders know is counted once by each.",
};

export const intervalWords = (word: string) => INTERVALS[word] ?? word;
export const biasWords = (word: string) => BIASES[word] ?? word;

const DIGITS = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 5 });
const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

export function number(value: number): string {
  return Math.abs(value) >= 1000 || Number.isInteger(value) ? WHOLE.format(value) : DIGITS.format(value);
}

/** What a row is about: its group, its bin, its rank; the number's own name where it is alone. */
export function rowName(row: AnswerRow, answer: Answer): string {
  if (row.key.length === 0) return row.name.replaceAll("_", " ");
  const isBin = row.key.length === 2 && answer.key_columns.length === 1;
  return isBin ? `${short(row.key[0])} – ${short(row.key[1])}` : row.key.join(" · ");
}

function short(end: string | undefined): string {
  if (end === undefined) return "";
  if (/^\d{4}-\d\d-\d\dT/.test(end)) return end.slice(0, 10);
  const value = Number(end);
  return Number.isFinite(value) ? number(value) : end;
}

/** Bins are histograms, two keys are grouped bars, quantiles and others are points with whiskers. Numbers
 * of different kinds, such as a mean and the count behind it, have no axis in common: the first is shown. */
export type Form = "single" | "bars" | "grouped" | "histogram" | "points";

export function formOf(answer: Answer): Form {
  const first = answer.rows[0];
  if (first === undefined || answer.rows.every((row) => row.key.length === 0)) {
    return "single";
  }
  if (first.key.length === 2 && answer.key_columns.length === 1) return "histogram";
  if (answer.key_columns.length === 2) return "grouped";
  return first.name === "count" ? "bars" : "points";
}

export function toCsv(shown: Shown): string {
  const cell = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const { answer, answered } = shown;
  const wide = Math.max(0, ...answer.rows.map((row) => row.key.length));
  const keys = Array.from({ length: wide }, (_, at) => answer.key_columns[at] ?? `key_${at + 1}`);
  const isBin = wide === 2 && answer.key_columns.length === 1;
  const column = answer.key_columns[0] ?? "key";
  const names = isBin ? [`${column}_from`, `${column}_to`] : keys;
  const head = [...names, "what", "estimate", "lower_95", "upper_95", "standard_error"];
  const lines = answer.rows.map((row) => {
    const e = row.estimate;
    const figures = e === null ? ["", "", "", ""] : [e.value, e.lower, e.upper, e.standard_error];
    const padded = Array.from({ length: wide }, (_, at) => row.key[at] ?? "");
    return [...padded, row.name, ...figures].map((one) => cell(String(one))).join(",");
  });
  const notes = [
    `# dataset ${shown.dataset}, permit ${shown.permit}`,
    `# epsilon spent ${answered.epsilon_spent}, delta ${answered.delta}, receipt ${answered.receipt.id}`,
  ];
  return `${[...notes, head.map(cell).join(","), ...lines].join("\r\n")}\r\n`;
}
