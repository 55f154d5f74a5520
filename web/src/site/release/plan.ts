/**
 * The plan of a release as the studio's form has it, and as the node takes it: under the names of
 * `plan.toml`, whose text the node writes from it.
 */

import type { OutsetColumn, OutsetPermit, StudyWanted } from "./contract";

/** What a column is to whoever would recognise a person. */
export type Role = "identifier" | "quasi" | "sensitive" | "other";

/** What happens to a column: its role, or that it is not in the release at all. */
export type Treatment = Role | "left-out";

export type Method = "aim" | "mst" | "privbayes" | "copula";

export type Repair = "reweigh" | "repair";

export interface Draft {
  treatments: Record<string, Treatment>;
  way: "anonymise" | "synthesise";
  k: number;
  /** Different sensitive values in each group; none asked for. */
  l: number | null;
  /** How far sensitive values in a group may be from the whole; none asked for. */
  t: number | null;
  /** The share of records that may be suppressed. */
  suppression: number;
  /** Whether each group has its own levels, and nothing is suppressed. */
  local: boolean;
  /** Whether the models are tightened until the score is met. */
  adjusts: boolean;
  method: Method;
  epsilon: number;
  /** Synthetic records; as many as there are, with noise, where nothing is said. */
  rows: number | null;
  volume: { target: string; gain: number; leastPerClass: number } | null;
  /** Records in all that augmenting fills up to. */
  augmentTo: number | null;
  unbias: { by: string[]; column: string; value: string; method: Repair } | null;
  purpose: string;
  name: string;
  leastScore: number;
}

/** The plan as the node takes it: the names of `plan.toml`. */
export interface Plan {
  purpose: string;
  columns: string[];
  anonymise?: {
    "quasi-identifiers": string[];
    sensitive?: string[];
    k: number;
    l?: number;
    t?: number;
    suppression?: number;
    local?: true;
    "until-score"?: number;
    "most-attempts"?: number;
  };
  synthesise?: { method: Method; epsilon: number; rows?: number };
  volume?: { target: string; gain: number; "least-per-class": number };
  augment?: { to: number };
  unbias?: { sensitive: string[]; favourable: string; method: Repair };
  publish: { dataset: string; "least-score": number };
}

/** Each attempt is judged as one of so many, so that the luckiest does not pass for a good one. */
export const MOST_ATTEMPTS = 8;

export const columnsAs = (draft: Draft, ...wanted: Treatment[]): string[] =>
  Object.entries(draft.treatments)
    .filter(([, treatment]) => wanted.includes(treatment))
    .map(([column]) => column);

/** The columns that are read, and published in one form or another. */
export const published = (draft: Draft): string[] => columnsAs(draft, "quasi", "sensitive", "other");

export function planOf(draft: Draft): Plan {
  const sensitive = columnsAs(draft, "sensitive");
  const { volume, unbias, augmentTo, rows, l, t } = draft;
  return {
    // A rehearsal may come before anybody knows.
    purpose: draft.purpose.trim() === "" ? "not stated yet" : draft.purpose.trim(),
    columns: published(draft),
    ...(draft.way === "anonymise"
      ? {
          anonymise: {
            "quasi-identifiers": columnsAs(draft, "quasi"),
            ...(sensitive.length === 0 ? {} : { sensitive }),
            k: draft.k,
            ...(l === null ? {} : { l }),
            ...(t === null ? {} : { t }),
            ...(draft.local ? { local: true } : { suppression: draft.suppression }),
            ...(draft.adjusts ? { "until-score": draft.leastScore, "most-attempts": MOST_ATTEMPTS } : {}),
          },
        }
      : { synthesise: { method: draft.method, epsilon: draft.epsilon, ...(rows === null ? {} : { rows }) } }),
    ...(volume === null
      ? {}
      : { volume: { target: volume.target, gain: volume.gain, "least-per-class": volume.leastPerClass } }),
    ...(augmentTo === null ? {} : { augment: { to: augmentTo } }),
    ...(unbias === null
      ? {}
      : {
          unbias: {
            sensitive: unbias.by,
            favourable: `${unbias.column}=${unbias.value.trim()}`,
            method: unbias.method,
          },
        }),
    publish: { dataset: draft.name.trim(), "least-score": draft.leastScore },
  };
}

/** What the release is wanted for, where the best is searched for. */
export interface Wish {
  purpose: "statistics" | "train";
  target: string;
}

/** What is searched for, as the node takes it. */
export const adviceOf = (draft: Draft, wish: Wish): Extract<StudyWanted, { advise: unknown }>["advise"] => ({
  purpose: wish.purpose === "statistics" ? "statistics" : { train: { target: wish.target } },
  quasi_identifiers: columnsAs(draft, "quasi"),
  sensitive: columnsAs(draft, "sensitive"),
  unchanged: columnsAs(draft, "other"),
  least_score: draft.leastScore,
});

/** What `salus release` is called with. */
export function command(dataset: string, permit: string | null): string {
  return `salus release ${dataset} --plan plan.toml --permit ${permit ?? "permit-…"}`;
}

const NAME = /^[a-z][a-z0-9_]*$/;

/** What keeps the plan from being tried; the first thing to do first. */
export function gaps(draft: Draft, columns: readonly OutsetColumn[]): string[] {
  const said: string[] = [];
  if (published(draft).length === 0) said.push("Every column is left out: keep at least one.");
  if (draft.way === "anonymise") {
    if (columnsAs(draft, "quasi").length === 0) {
      said.push("No column is a quasi-identifier, so there is nothing that groups could be made by.");
    }
    const wanted = draft.l !== null ? "l-diversity" : draft.t !== null ? "t-closeness" : null;
    if (wanted !== null && columnsAs(draft, "sensitive").length === 0) {
      said.push(`No column is sensitive, and ${wanted} protects those alone.`);
    }
  } else {
    const known = columns.filter(({ domain }) => !["open", "none"].includes(domain.kind)).map(({ name }) => name);
    const open = published(draft).filter((column) => !known.includes(column));
    if (open.length > 0) {
      said.push(
        `${list(open)} ${open.length === 1 ? "has" : "have"} no public domain, and cannot be synthesised: leave ${
          open.length === 1 ? "it" : "them"
        } out, or state the domain in privacy.toml.`,
      );
    }
  }
  const kept = published(draft);
  if (draft.volume !== null && !kept.includes(draft.volume.target)) {
    said.push("The column that is to be predicted is not in the release.");
  }
  if (draft.unbias !== null) {
    const { by, column, value: good } = draft.unbias;
    if (by.length === 0) said.push("Choose the columns by which nobody should fare worse.");
    if (column === "" || good.trim() === "") said.push("Say which value of which column is the good outcome.");
    if ([...by, column].some((one) => one !== "" && !kept.includes(one))) {
      said.push("Bias can be mended by columns of the release alone.");
    }
  }
  return said;
}

/** What is missing beyond that before anything can be published. */
export function unnamed(draft: Draft, taken: string[]): string[] {
  const said: string[] = [];
  const name = draft.name.trim();
  if (draft.purpose.trim() === "") said.push("Say what the release is for: it stands on the certificate.");
  if (!NAME.test(name)) {
    said.push("Give the new dataset a name of small letters, digits and underscores.");
  } else if (taken.includes(name)) {
    said.push(`There is a dataset ${name} already.`);
  }
  return said;
}

/** Why a permit does not carry this plan; none when it does. */
export function unfit(draft: Draft, permit: OutsetPermit, person: string | null): string | null {
  if (!permit.usable) return sentence(permit.why_not ?? `it is ${permit.state}`);
  const needed = [...published(draft), ...(person === null ? [] : [person])];
  const uncovered = needed.filter((column) => !permit.columns.includes(column));
  if (uncovered.length > 0) return `It does not cover ${list(uncovered)}.`;
  if (draft.way === "anonymise") {
    return permit.releases === "gate-allowed"
      ? null
      : "It covers releases with a bounded privacy loss only, and an anonymised table has no bound.";
  }
  return permit.epsilon_left !== null && permit.epsilon_left < draft.epsilon
    ? "Less ε is left under it than the plan may cost."
    : null;
}

/** What has to be typed for a permit that carries this plan. */
export function application(draft: Draft, holder: string, dataset: string, person: string | null): string {
  const columns = [...new Set([...(person === null ? [] : [person]), ...published(draft)])].join(",");
  // A release without a bound is charged no ε, and its ground names some all the same.
  const epsilon = draft.way === "synthesise" ? draft.epsilon : 1;
  const gate = draft.way === "anonymise" ? " --allow-gate" : "";
  return `salus permit apply --ground ${holder}/${dataset}:${columns}:${epsilon}${gate}`;
}

/** Messages of the node begin small, because programs put them behind a colon. */
export const sentence = (text: string): string => {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
};

const NAMES: Record<Method, string> = { aim: "AIM", mst: "MST", privbayes: "PrivBayes", copula: "a Gaussian copula" };

/** What is made, in a sentence. */
export function summary(draft: Draft): string {
  const { way, k, l, t, suppression, local } = draft;
  const how =
    way === "synthesise"
      ? `Synthetic records by ${NAMES[draft.method]} with ε = ${draft.epsilon}`
      : [
          `Records anonymised with k = ${k}`,
          ...(l === null ? [] : [`l = ${l}`]),
          ...(t === null ? [] : [`t = ${t}`]),
          local ? "recoded locally" : suppression === 0 ? "none suppressed" : `at most ${Number((100 * suppression).toFixed(6))}\u00a0% suppressed`,
        ].join(", ");
  const further = [...(draft.augmentTo === null ? [] : ["augmented where they are not enough"]), ...(draft.unbias === null ? [] : ["bias mended"])];
  return `${[how, ...further].join(", ")}: ${list(published(draft))}.`;
}

/** Names one after the other, as a sentence has them. */
export function list(names: string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1] ?? ""}`;
}

/** A whole number from 1 on, or none. */
export function whole(text: string): number | null {
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0 ? value : null;
}
