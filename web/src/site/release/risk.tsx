import { Button } from "react-aria-components";

import { count } from "../../ui/format";
import { Explain } from "../../ui/parts";
import { Field, sentence } from "../parts";
import type { Assessed } from "./contract";
import { columnsAs, type Draft } from "./plan";
import { Busy, Progress } from "./progress";
import { Score } from "./score";
import type { Running } from "./studies";
import { percent } from "./words";

/** How recognisable people are in the records as they are. */
export function RiskPanel({
  assessed,
  draft,
  running,
  isBusy,
  population,
  onPopulation,
  onAssess,
  rows,
}: {
  assessed: Assessed | null;
  draft: Draft;
  running: Running;
  isBusy: boolean;
  population: string;
  onPopulation: (text: string) => void;
  onAssess: (quasi: string[] | null) => void;
  rows: number;
}) {
  const risk = assessed?.risk;
  const measured = risk?.quasi_identifiers ?? [];
  const wanted = columnsAs(draft, "quasi", "sensitive");
  const isStale = risk !== undefined && [...measured].sort().join() !== [...wanted].sort().join();
  const left = running.study?.rows;
  return (
    <section className="panel" aria-label="Risk of the records as they are">
      <h2>Risk as the records are</h2>
      {risk === undefined ? (
        <p className="muted">
          The node reads {count(rows)} rows into its memory, suggests what role each column has, and attacks the records as
          if they were released as they are. Nothing leaves the site.
        </p>
      ) : (
        <>
          <Score value={risk.score} least={draft.leastScore} />
          <dl className="figures small">
            <div>
              <dt>Records</dt>
              <dd>{count(risk.records)}</dd>
              <dd className="note">
                {left == null || left.opted_out === 0 ? "nobody opted out" : `${count(left.opted_out)} opted out`}
              </dd>
            </div>
            <div>
              <dt>
                <Explain word="Average risk">
                  <p>
                    The chance of finding a person&rsquo;s record for somebody who knows all quasi-identifiers of them, on
                    average: the mean of 1 / group size, where a group is all records alike in these columns.
                  </p>
                </Explain>
              </dt>
              <dd>{percent(risk.average_risk)}</dd>
              <dd className="note">{count(risk.classes)} groups</dd>
            </div>
            <div>
              <dt>
                <Explain word="Highest risk">
                  <p>The same chance for whoever is easiest to find: 1 / the size of the smallest group.</p>
                </Explain>
              </dt>
              <dd>{percent(risk.highest_risk)}</dd>
              <dd className="note">for {percent(risk.records_at_highest_risk)} of the records</dd>
            </div>
            <div>
              <dt>
                <Explain word="Unique">
                  <p>Records that nobody else shares their quasi-identifiers with, in this dataset.</p>
                </Explain>
              </dt>
              <dd className={risk.sample_unique > 0 ? "refused" : undefined}>{percent(risk.sample_unique)}</dd>
              <dd className="note">
                {risk.population_unique === null ? "of the records" : `${percent(risk.population_unique)} of the population`}
              </dd>
            </div>
          </dl>
          {risk.next === null ? null : (
            <p className="note">
              First step: <span className="figure">{optionWords(risk.next.option)}</span>. {sentence(risk.next.why)}
            </p>
          )}
          {isStale ? <p className="note">The roles have changed since. Measure again to see what that does.</p> : null}
        </>
      )}
      <Field
        label="People in the population, if known"
        type="number"
        required={false}
        value={population}
        hint="Gives the share that is unique among all of them."
        onChange={onPopulation}
      />
      <Progress running={running} onAway={running.forget} />
      <Busy isBusy={isBusy} own={running} />
      <div className="actions">
        <Button
          className={risk === undefined || isStale ? "primary" : ""}
          isPending={running.isRunning}
          isDisabled={(isBusy && !running.isRunning) || (risk !== undefined && wanted.length === 0)}
          onPress={() => onAssess(risk === undefined ? null : wanted)}
        >
          {risk === undefined ? "Measure the risk" : "Measure again"}
        </Button>
      </div>
    </section>
  );
}

/** An option of the commands, as the form has it. */
const optionWords = (option: string): string => option.replace(/^--(\S+) (.+)$/, "$1 = $2").replace(/^--/, "");
