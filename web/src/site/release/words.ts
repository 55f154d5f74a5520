/** What attacks, scores and models of privacy are called here, and what they mean. */

const ATTACKS: Record<string, [name: string, meaning: string]> = {
  "singling-out-univariate": [
    "Singling out, one value",
    "Isolates a person by one rare or extreme value.",
  ],
  "singling-out-multivariate": [
    "Singling out, several values",
    "Isolates a person by a combination of values.",
  ],
  linkability: [
    "Linking two files",
    "Knows two halves of a person's columns from two files, and joins them through the release.",
  ],
  "linkability-all-nearest": [
    "Linking, all nearest kept",
    "Joins two files through the release, and keeps every record that is equally near.",
  ],
  inference: [
    "Inference",
    "Knows all of a person but one value, and reads that from the nearest released records.",
  ],
  "population-linkage": [
    "Linking to a population file",
    "Looks for the one person of a population file that a released record fits.",
  ],
  differencing: [
    "Differencing",
    "Intersects what this and earlier releases of the same data leave possible.",
  ],
  membership: [
    "Membership, by nearness",
    "Tells who is in the data by how near the nearest released record is.",
  ],
  "likelihood-ratio": [
    "Membership, by likelihood",
    "Tells who is in the data by how much likelier the generator deems them than the population.",
  ],
  "shadow-models": [
    "Membership, by shadow models",
    "Tells who is in the data by models that were fitted with and without them.",
  ],
  reconstruction: ["Reconstruction", "Works secrets out from published counts."],
  "allele-frequency": [
    "Membership, by allele frequencies",
    "Tells who is in a group by the frequencies of its alleles.",
  ],
};

export function attackName({ attack, secret }: { attack: string; secret?: string | null }): string {
  const name = ATTACKS[attack]?.[0] ?? attack.replaceAll("-", " ");
  return secret == null ? name : `${name} of ${secret}`;
}

export const attackMeaning = (attack: string): string => ATTACKS[attack]?.[1] ?? "";

const PERCENT = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });

/** A share in percent, of which none that is something is shown as nothing, or as all. */
export function percent(share: number): string {
  if (share > 0 && share < 0.0005) return "under 0.1\u00a0%";
  if (share < 1 && share > 0.9995) return "over 99.9\u00a0%";
  return `${PERCENT.format(100 * share)}\u00a0%`;
}

/** A score with its decimal, as the node rounds it; where it is below `least`, it is not shown as that. */
export function score(value: number, least = 0): string {
  const rounded = value.toFixed(1);
  return value < least && Number(rounded) >= least ? (Math.floor(value * 10) / 10).toFixed(1) : rounded;
}

/** What a score says of the people in the data. */
export function scoreWords(value: number | null, verbatim = 0): string {
  if (value === null) return "No attack could be run, so nothing is known about the risk.";
  if (verbatim > 0 && value <= 0) {
    return `${verbatim.toLocaleString("en-GB")} ${
      verbatim === 1 ? "person is" : "people are"
    } in it as they are, with a value that nobody else has. That makes the score 0, whatever the attacks achieve.`;
  }
  if (value <= 0) return "The strongest attack may expose everybody.";
  return `With 95 % confidence, the strongest attack exposes at most ${percent(1 - value / 100)} of the people by their being in the data.`;
}

/** Whether a score is enough, in one word and why. */
export function verdict(value: number | null, least: number): { passes: boolean; words: string } {
  if (value === null) return { passes: least <= 0, words: least <= 0 ? "no score is asked for" : "no score" };
  const passes = value >= least;
  return { passes, words: passes ? `at or above ${least}` : `below ${least}` };
}

export const ROLES = [
  ["identifier", "Identifier", "Names a person by itself: a number, a name, an address. It is not read, and not in the release."],
  [
    "quasi",
    "Quasi-identifier",
    "Does not name a person alone, but others may know it of them, and together with others it singles them out: age, sex, postcode, dates.",
  ],
  [
    "sensitive",
    "Sensitive",
    "What nobody should learn about a person from the release: a diagnosis, a result. l-diversity and t-closeness protect it.",
  ],
  ["other", "Other", "Neither known to others nor sensitive. It is published as it is."],
  ["left-out", "Left out", "Not read, and not in the release."],
] as const;

export const METHODS = [
  ["aim", "AIM: pairs of columns where the model errs most; best in most cases"],
  ["mst", "MST: a tree of pairs; fast"],
  ["privbayes", "PrivBayes: a Bayesian network"],
  ["copula", "Gaussian copula: each column, and correlations"],
] as const;
