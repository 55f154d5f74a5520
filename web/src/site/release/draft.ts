/** How the studio's form begins, and what takes it over. */
import type { Assessed, Outset, OutsetColumn, Tried } from "./contract";
import type { Draft, Role, Treatment } from "./plan";

/** The score that is asked for, if nobody says another: that of the commands. */
const USUAL_THRESHOLD = 80;

/** Classes of columns that name people, or may: narrative text can hold anything. */
const CLOSED = ["identifiers", "freetext", "signal", "footer"];

/** Whether a column is never released from here, whatever it holds. */
export const isClosed = ({ key_class }: Pick<OutsetColumn, "key_class">): boolean =>
  key_class !== null && CLOSED.includes(key_class);

/** Whether a column's values can be in a release at all. */
export const isOffered = (column: OutsetColumn, person: string | null): boolean =>
  column.readable && column.name !== person && column.kind !== "other" && !isClosed(column);

/**
 * Before anything is measured, a column counts as a quasi-identifier: whoever forgets one protects
 * too much. Left out are columns that name people or may, and those that were thought worth a key of
 * their own.
 */
export function first(outset: Outset): Draft {
  const treatment = (column: OutsetColumn): Treatment => {
    if (column.name === outset.person || column.key_class === "identifiers") return "identifier";
    return isOffered(column, outset.person) && column.key_class !== null ? "quasi" : "left-out";
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

/**
 * A form that was kept, for the dataset as it is now: a column that is not offered any more goes out
 * of the release, one that has come since is not in it, and one that has gone is in nothing.
 */
export function reconciled(kept: Draft, outset: Outset): Draft {
  const begun = first(outset);
  const treatment = (column: OutsetColumn): Treatment => {
    const own = kept.treatments[column.name] ?? "left-out";
    if (column.name === outset.person) return "identifier";
    return isOffered(column, outset.person) || own === "identifier" || own === "left-out"
      ? own
      : (begun.treatments[column.name] ?? "left-out");
  };
  const treatments = Object.fromEntries(outset.columns.map((column) => [column.name, treatment(column)]));
  const has = (name: string) => {
    const column = outset.columns.find((one) => one.name === name);
    return column !== undefined && isOffered(column, outset.person);
  };
  const { unbias, volume } = kept;
  return {
    ...begun,
    ...kept,
    treatments,
    volume: volume == null || has(volume.target) ? (volume ?? null) : { ...volume, target: "" },
    unbias:
      unbias == null
        ? null
        : {
            ...unbias,
            by: unbias.by.filter(has),
            ...(has(unbias.column) ? {} : { column: "", value: "" }),
          },
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
