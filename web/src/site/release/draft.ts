/** How the studio's form begins, and what takes it over. */
import type { Assessed, Outset, Tried } from "./contract";
import type { Draft, Role, Treatment } from "./plan";

/** The score that is asked for, if nobody says another: that of the commands. */
const USUAL_THRESHOLD = 80;

/**
 * Before anything is measured, a column that is no identifier counts as a quasi-identifier: whoever
 * forgets one protects too much.
 */
export function first(outset: Outset): Draft {
  const treatment = ({ name, key_class, readable, kind }: Outset["columns"][number]): Treatment => {
    if (name === outset.person || key_class === "identifiers") return "identifier";
    return readable && kind !== "other" ? "quasi" : "left-out";
  };
  return {
    treatments: Object.fromEntries(outset.columns.map((column) => [column.name, treatment(column)])),
    way: outset.account?.releases === "dp-only" ? "synthesise" : "anonymise",
    k: 5,
    l: null,
    t: null,
    suppression: 0.05,
    local: false,
    adjusts: false,
    method: "aim",
    epsilon: 1,
    rows: null,
    volume: null,
    augmentTo: null,
    unbias: null,
    purpose: "",
    name: `${outset.dataset}_open`,
    leastScore: USUAL_THRESHOLD,
  };
}

/** The suggested roles, for the columns that are read and whose role nobody has chosen. */
export function suggested(draft: Draft, { roles }: Assessed, begun: Draft): Draft {
  const untouched = roles.filter(
    ({ column }) =>
      ![undefined, "left-out"].includes(begun.treatments[column]) && draft.treatments[column] === begun.treatments[column],
  );
  return {
    ...draft,
    treatments: { ...draft.treatments, ...Object.fromEntries(untouched.map(({ column, role }) => [column, role as Role])) },
  };
}

/** The settings of a try. */
export function taken(draft: Draft, { settings }: Tried): Draft {
  const { k, l, t, suppression, local } = settings;
  return { ...draft, way: "anonymise", k: k ?? 1, l, t, suppression, local, adjusts: false };
}
