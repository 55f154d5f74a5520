/** The visual builder's view of a question, and the SQL that says the same. */
import type { ColumnKind, Profile } from "./api";

export type Measure =
  | "count"
  | "distinct-units"
  | "distinct-count"
  | "grouped-count"
  | "top-k"
  | "sum"
  | "mean"
  | "variance"
  | "minimum"
  | "maximum"
  | "median"
  | "histogram"
  | "linear-regression";

export interface Condition {
  column: string;
  is: "=" | "!=" | "<" | "<=" | ">" | ">=" | "contains" | "starts" | "ends" | "null" | "not-null";
  value: string;
}

export interface Built {
  dataset: string;
  measure: Measure;
  /** The column that is counted, summed, binned; the explained one of a line. */
  column: string;
  /** The second grouping column, or the explaining one of a line. */
  second: string;
  /** How many bins or groups. */
  number: number;
  conditions: Condition[];
}

export const MEASURES: [Measure, string][] = [
  ["count", "Number of rows"],
  ["distinct-units", "Number of units"],
  ["grouped-count", "Rows in each group"],
  ["top-k", "Largest groups"],
  ["histogram", "Histogram"],
  ["mean", "Mean"],
  ["sum", "Sum"],
  ["variance", "Spread"],
  ["median", "Median"],
  ["minimum", "Minimum"],
  ["maximum", "Maximum"],
  ["distinct-count", "Number of different values"],
  ["linear-regression", "Line through two columns"],
];

export type Kind = "number" | "instant" | "category" | "open";

export function kindOf(column: ColumnKind | undefined): Kind {
  if (column === undefined || column === "open") return "open";
  if ("number" in column) return "number";
  if ("instant" in column) return "instant";
  return "category";
}

/** Which columns a measure takes; none when it takes none. */
export function fitting(measure: Measure, profile: Profile): string[] {
  const of = (...kinds: Kind[]) =>
    Object.entries(profile.columns)
      .filter(([, column]) => kinds.includes(kindOf(column)))
      .map(([name]) => name);
  switch (measure) {
    case "count":
    case "distinct-units":
      return [];
    case "grouped-count":
    case "top-k":
      return of("category");
    case "distinct-count":
      return of("number", "instant", "category", "open");
    case "sum":
    case "mean":
    case "variance":
    case "linear-regression":
      return of("number");
    default:
      return of("number", "instant");
  }
}

export const takesSecond = (measure: Measure) =>
  measure === "grouped-count" || measure === "linear-regression";

export const takesNumber = (measure: Measure) => measure === "histogram" || measure === "top-k";

/** The comparisons that make sense for a column, with their words. */
export function comparisons(kind: Kind): [Condition["is"], string][] {
  const equal: [Condition["is"], string][] = [
    ["=", "is"],
    ["!=", "is not"],
  ];
  const missing: [Condition["is"], string][] = [
    ["null", "is missing"],
    ["not-null", "is there"],
  ];
  switch (kind) {
    case "number":
      return [...equal, ["<", "is less than"], ["<=", "is at most"], [">", "is more than"], [">=", "is at least"], ...missing];
    case "instant":
      return [["<", "is before"], [">=", "is from"], ...missing];
    case "category":
      return [...equal, ...missing];
    case "open":
      return [...equal, ["contains", "contains"], ["starts", "starts with"], ["ends", "ends with"], ...missing];
  }
}

const name = (text: string) => (/^[a-z_][a-z0-9_]*$/.test(text) ? text : `"${text.replaceAll('"', '""')}"`);

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;

const pattern = (text: string) => text.replace(/[%_\\]/g, (c) => `\\${c}`);

function literal(kind: Kind, value: string): string {
  if (kind === "number") return value.trim() === "" ? "0" : value.trim();
  if (kind === "instant") {
    return /^\d{4}-\d\d-\d\d$/.test(value.trim())
      ? `DATE ${quoted(value.trim())}`
      : `TIMESTAMP ${quoted(value.trim())}`;
  }
  return quoted(value);
}

function condition(one: Condition, profile: Profile): string {
  const column = name(one.column);
  const kind = kindOf(profile.columns[one.column]);
  switch (one.is) {
    case "null":
      return `${column} IS NULL`;
    case "not-null":
      return `${column} IS NOT NULL`;
    case "contains":
      return `${column} LIKE ${quoted(`%${pattern(one.value)}%`)}`;
    case "starts":
      return `${column} LIKE ${quoted(`${pattern(one.value)}%`)}`;
    case "ends":
      return `${column} LIKE ${quoted(`%${pattern(one.value)}`)}`;
    case "!=":
      return `${column} <> ${literal(kind, one.value)}`;
    default:
      return `${column} ${one.is} ${literal(kind, one.value)}`;
  }
}

function selected(built: Built, profile: Profile): [what: string, tail: string] {
  const column = name(built.column);
  const keys = [built.column, built.second].filter((key) => key !== "").map(name).join(", ");
  switch (built.measure) {
    case "count":
      return ["count(*)", ""];
    case "distinct-units":
      return [`count(DISTINCT ${name(profile.unit_column)})`, ""];
    case "distinct-count":
      return [`count(DISTINCT ${column})`, ""];
    case "grouped-count":
      return [`${keys}, count(*)`, ` GROUP BY ${keys}`];
    case "top-k":
      return [`${column}, count(*)`, ` GROUP BY ${column} ORDER BY count(*) DESC LIMIT ${built.number}`];
    case "mean":
      return [`avg(${column})`, ""];
    case "variance":
      return [`var_pop(${column})`, ""];
    case "minimum":
      return [`min(${column})`, ""];
    case "maximum":
      return [`max(${column})`, ""];
    case "histogram":
      return [`histogram(${column}, ${built.number})`, ""];
    case "linear-regression":
      return [`regr_slope(${column}, ${name(built.second)})`, ""];
    default:
      return [`${built.measure}(${column})`, ""];
  }
}

/** The question in SQL, as `docs/query-sql.md` describes it. */
export function toSql(built: Built, profile: Profile): string {
  const [what, tail] = selected(built, profile);
  const where = built.conditions.map((one) => condition(one, profile)).join(" AND ");
  return `SELECT ${what} FROM ${name(built.dataset)}${where === "" ? "" : ` WHERE ${where}`}${tail}`;
}

/** Whether the builder has all that its question needs. */
export function isWhole(built: Built): boolean {
  const named = built.measure === "count" || built.measure === "distinct-units" || built.column !== "";
  const second = built.measure !== "linear-regression" || built.second !== "";
  const valued = built.conditions.every(
    (one) => one.column !== "" && (one.is === "null" || one.is === "not-null" || one.value !== ""),
  );
  return named && second && valued;
}

type Json = Record<string, unknown>;

function asCondition(filter: Json): Condition | null {
  const [[kind, inner] = ["", {}]] = Object.entries(filter) as [string, Json][];
  const column = typeof inner?.["column"] === "string" ? inner["column"] : "";
  const text = String(inner?.["text"] ?? "");
  switch (kind) {
    case "compare":
      return { column, is: inner["is"] as Condition["is"], value: String(inner["value"]) };
    case "contains":
      return { column, is: "contains", value: text };
    case "starts-with":
      return { column, is: "starts", value: text };
    case "ends-with":
      return { column, is: "ends", value: text };
    case "is-null":
      return { column, is: "null", value: "" };
    case "not": {
      const negated = asCondition(inner);
      if (negated?.is === "null") return { ...negated, is: "not-null" };
      return negated?.is === "=" ? { ...negated, is: "!=" } : null;
    }
    default:
      return null;
  }
}

function asConditions(filter: unknown): Condition[] | null {
  if (filter === null || filter === undefined) return [];
  const json = filter as Json;
  const all = Array.isArray(json["and"]) ? (json["and"] as Json[]) : [json];
  const conditions = all.map(asCondition);
  return conditions.every((one) => one !== null) ? (conditions as Condition[]) : null;
}

/** The builder's view of a question; none when it is one that the builder does not show. */
/** The question itself, where it is followed. */
export function asked(text: string): { question: string; ticks: number | null } {
  const said = JSON.parse(text) as { standing?: { ticks: number }; question?: string };
  return said.standing === undefined || said.question === undefined
    ? { question: text, ticks: null }
    : { question: said.question, ticks: said.standing.ticks };
}

export function fromJson(text: string): Built | null {
  const question = JSON.parse(asked(text).question) as Json;
  const conditions = asConditions(question["filter"]);
  if (conditions === null) return null;
  const base = { dataset: String(question["dataset"]), column: "", second: "", number: 10, conditions };
  const query = question["query"];
  if (query === "count" || query === "distinct-units") return { ...base, measure: query };
  const [[kind, inner] = ["", {}]] = Object.entries(query as Json) as [string, Json][];
  const column = String(inner["column"] ?? "");
  const keys = (inner["keys"] ?? []) as string[];
  switch (kind) {
    case "distinct-count":
    case "sum":
    case "mean":
    case "variance":
    case "minimum":
    case "maximum":
      return { ...base, measure: kind, column };
    case "grouped-count":
      return { ...base, measure: kind, column: keys[0] ?? "", second: keys[1] ?? "" };
    case "top-k":
      if (keys.length > 1) return null;
      return { ...base, measure: kind, column: keys[0] ?? "", number: Number(inner["k"]) };
    case "quantiles": {
      const ranks = inner["ranks"] as number[];
      return ranks.length === 1 && ranks[0] === 0.5 ? { ...base, measure: "median", column } : null;
    }
    case "linear-regression":
      return { ...base, measure: kind, column: String(inner["y"]), second: String(inner["x"]) };
    default:
      return null;
  }
}

/** A question of the history in a few words. */
export function describe(text: string): string {
  try {
    const { question: once, ticks } = asked(text);
    const question = JSON.parse(once) as Json;
    const query = question["query"];
    const kind = typeof query === "string" ? query : (Object.keys(query as Json)[0] ?? "");
    const about = typeof query === "string" ? {} : ((query as Json)[kind] as Json);
    const names = [about["column"], ...((about["keys"] ?? []) as unknown[]), about["y"], about["x"]];
    const of = names.filter((one) => typeof one === "string").join(", ");
    const filtered = question["filter"] == null ? "" : ", filtered";
    const followed = ticks === null ? "" : `, followed for ${ticks} answers`;
    return `${kind.replaceAll("-", " ")}${of === "" ? "" : ` of ${of}`}${filtered}${followed}`;
  } catch {
    return "a question of another version";
  }
}
