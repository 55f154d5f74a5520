/** What a look at a study says when it fails. */
import { Problem } from "../../api/client";
import { isPassing } from "../../ui/retry";
import { sentence } from "./plan";

export interface Unseen {
  words: string;
  /** Whether the page goes on looking by itself. */
  isTrying: boolean;
}

/** Whether the node has forgotten the study. */
export const isGone = (error: Error | null): boolean => error instanceof Problem && error.isAbsent;

/** Why nothing new is known of a study; none while it is seen, or forgotten. */
export function unseen(error: Error | null): Unseen | null {
  if (error === null || isGone(error)) return null;
  if (!(error instanceof Problem)) return { words: "The node cannot be reached; trying again.", isTrying: true };
  const said = sentence(error.message);
  if (error.status === 401) return { words: `Sign in again to see how far it is. ${said}`, isTrying: false };
  if (error.status === 403) return { words: `You may not see this any more. ${said}`, isTrying: false };
  return isPassing(error)
    ? { words: `The node cannot answer now; trying again. ${said}`, isTrying: true }
    : { words: `The node could not tell how far it is. ${said}`, isTrying: false };
}
