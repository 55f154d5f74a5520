/** What a study was made of, beside what the form asks for now. */
import type { Study } from "./contract";
import { adviceOf, planOf, type Draft, type Plan, type Wish } from "./plan";
import { percent } from "./words";

export type Asked = Study["asked"];

type Said = null | boolean | number | string | Said[] | { [name: string]: Said };

/** Alike for what means the same: lists of names in any order, and no word on what is not said. */
function alike(value: unknown): Said {
  if (value === undefined || value === null) return null;
  if (typeof value === "number") return Number(value.toPrecision(12));
  if (Array.isArray(value)) return value.map(alike).sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
  if (typeof value !== "object") return value as boolean | string;
  const said = Object.entries(value).filter(([, one]) => one !== undefined && one !== null);
  said.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(said.map(([name, one]) => [name, alike(one)]));
}

const isAlike = (one: unknown, other: unknown): boolean => JSON.stringify(alike(one)) === JSON.stringify(alike(other));

/** The plan that was asked for. */
export function planAsked(asked: Asked): Plan | null {
  // The node says what it was sent, and it was sent what `planOf` makes.
  if ("rehearse" in asked) return asked.rehearse.plan as Plan;
  return "release" in asked ? (asked.release.plan as Plan) : null;
}

/** The score that was asked for. */
export function leastAsked(asked: Asked): number {
  if ("assess" in asked) return asked.assess.least_score;
  if ("advise" in asked) return asked.advise.least_score;
  return planAsked(asked)?.publish["least-score"] ?? 0;
}

/** What of a plan changes what a rehearsal measures: neither what it is for nor a name. */
const measured = ({ purpose: _, publish, ...plan }: Plan): unknown => ({ ...plan, least: publish["least-score"] });

/** Whether the form asks for something else now than what was rehearsed. */
export function isOtherRehearsal(asked: Asked, draft: Draft): boolean {
  const plan = planAsked(asked);
  return plan === null || !isAlike(measured(plan), measured(planOf(draft)));
}

/** Whether the form would be another release now. */
export function isOtherRelease(asked: Asked, draft: Draft): boolean {
  const plan = planAsked(asked);
  return plan === null || !isAlike(plan, planOf(draft));
}

/** Whether the form would be searched otherwise now. */
export const isOtherSearch = (asked: Asked, draft: Draft, wish: Wish): boolean =>
  !("advise" in asked) || !isAlike(asked.advise, adviceOf(draft, wish));

/** The settings that a plan has, in a few words. */
export function planWords({ anonymise, synthesise, publish }: Plan): string {
  const how =
    synthesise !== undefined && synthesise !== null
      ? [synthesise.method.toUpperCase(), `ε = ${synthesise.epsilon}`]
      : [
          `k = ${anonymise?.k ?? 1}`,
          ...(anonymise?.l == null ? [] : [`l = ${anonymise.l}`]),
          ...(anonymise?.t == null ? [] : [`t = ${anonymise.t}`]),
          anonymise?.local ? "recoded locally" : `at most ${percent(anonymise?.suppression ?? 0)} suppressed`,
        ];
  return [...how, `least score ${publish["least-score"]}`].join(", ");
}
