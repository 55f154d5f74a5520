import type { ReactNode } from "react";

import { Explain } from "../../ui/parts";
import { score as shown, scoreWords, verdict } from "./words";

/** The score as a figure, on its scale, and in words. */
export function Score({
  value,
  least,
  before,
  children,
}: {
  value: number | null;
  least: number;
  /** What it was before, where there is a before. */
  before?: number | null;
  children?: ReactNode;
}) {
  const { passes, words } = verdict(value, least);
  return (
    <div className="score">
      <p>
        <Explain word="Score">
          <p>
            100 times (1 − the risk at the upper end of the strongest attack&rsquo;s interval). 100 would mean that no attack
            gains anything by a person&rsquo;s being in the data. It says what these attacks achieve, and proves nothing
            about others; where there is a proven bound, it is ε.
          </p>
        </Explain>
      </p>
      <p className={`large figure${passes ? "" : " refused"}`}>
        {value === null ? "–" : shown(value, least)} <small className="muted">of 100, {words}</small>
      </p>
      <div
        className="scale"
        role="meter"
        aria-label="Score"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={value === null ? 0 : Math.floor(value)}
        aria-valuetext={value === null ? "none" : `${shown(value, least)}, ${words}`}
      >
        <i className={passes ? "" : "refused"} style={{ width: `${value ?? 0}%` }} />
        {before == null ? null : <b className="before" style={{ left: `${before}%` }} />}
        <b className="least" style={{ left: `${least}%` }} />
      </div>
      <p className="note">{children ?? scoreWords(value)}</p>
    </div>
  );
}
