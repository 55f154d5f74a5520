/** What the node says to the release studio, and takes from it. */
import type { components } from "../../api/console";

type Schemas = components["schemas"];
export type Outset = Schemas["ReleaseOutset"];
export type OutsetColumn = Schemas["ReleaseColumn"];
export type NoAccount = Schemas["ReleaseNoAccount"];
export type OutsetPermit = Schemas["ReleasePermit"];
export type Domain = Schemas["ReleaseDomain"];
export type PlanRead = Schemas["ReleasePlanRead"];
export type StudyWanted = Schemas["StudyWanted"];
export type Study = Schemas["Study"];
export type AttackLine = Schemas["ReleaseAttack"];
export type Tried = Schemas["ReleaseTried"];
export type Assessed = Schemas["Assessed"];
export type Report = Schemas["ReleaseReport"];
export type Volume = Schemas["ReleaseVolume"];
export type Bias = Schemas["ReleaseBias"];
export type Released = Schemas["ReleaseDone"];
export type ReleasedDataset = Schemas["Published"];

/** What a study is for: the word of its request. */
export const KINDS = ["assess", "advise", "rehearse", "release"] as const;
export type StudyKind = (typeof KINDS)[number];
