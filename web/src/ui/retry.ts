/** Which errors pass by themselves. */
import { Problem } from "../api/client";

/** How often an answer is asked for again. */
const MOST = 2;

/** Whether the next try may have an answer: nobody was reached, or whoever was had to send it back. */
export const isPassing = (error: Error): boolean => !(error instanceof Problem) || [502, 503, 504].includes(error.status);

/** Whether it is asked again; what was refused is refused again. */
export const again = (failures: number, error: Error): boolean => isPassing(error) && failures < MOST;

/** After how many milliseconds. */
export const delay = (failures: number): number => 500 * 2 ** failures;
