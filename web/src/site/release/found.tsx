import { Button } from "react-aria-components";

import { count } from "../../ui/format";
import { Section } from "../../ui/parts";
import { sentence } from "../parts";
import { Comparison } from "./comparison";
import type { Assessed, Tried } from "./contract";
import { taken } from "./draft";
import { Forest } from "./forest";
import { isOtherRehearsal, isOtherSearch, leastAsked } from "./made";
import type { Draft, Wish } from "./plan";
import { Other } from "./progress";
import type { Running } from "./studies";
import { ACCURACY, GRANULARITY, Tries } from "./tries";

/** The tries of a search, and what it recommends. */
export function Advice({
  advise: { study },
  draft,
  wish,
  onTake,
}: {
  advise: Running;
  draft: Draft;
  wish: Wish;
  onTake: (draft: Draft) => void;
}) {
  const tried = study?.tried ?? [];
  if (study === null || (tried.length === 0 && study.advised === null)) return null;
  return (
    <Section
      title="Tries"
      aside={
        <span className="muted figure">
          {count(tried.length)} {study.state === "running" ? "so far" : "in all"}
        </span>
      }
    >
      <Other is={isOtherSearch(study.asked, draft, wish)}>
        Searched with other roles, another purpose or another score than the form has now. Search again before you take what
        was found.
      </Other>
      {study.advised === null ? null : (
        <div className="decision" role="status">
          <h3>{study.advised.recommended === null ? "None of them passes" : `Try ${study.advised.recommended} is recommended`}</h3>
          <ul className="notes">
            {study.advised.why.map((why) => (
              <li key={why}>{why}</li>
            ))}
          </ul>
          <Take tried={tried} number={study.advised.recommended} onTake={(one) => onTake(taken(draft, one))} />
        </div>
      )}
      {tried.length === 0 ? null : (
        <Tries
          tried={tried}
          least={leastAsked(study.asked)}
          best={study.advised?.recommended ?? null}
          utility={tried.some((one) => one.accuracy !== null) ? ACCURACY : GRANULARITY}
          onTake={study.state === "running" ? null : (one) => onTake(taken(draft, one))}
        />
      )}
    </Section>
  );
}

function Take({
  tried,
  number,
  onTake,
}: {
  tried: Tried[];
  number: number | null;
  onTake: (one: Tried) => void;
}) {
  const one = tried.find((one) => one.number === number);
  if (one === undefined) return null;
  return (
    <div className="actions">
      <Button className="primary" onPress={() => onTake(one)}>
        Take its settings
      </Button>
    </div>
  );
}

/** What a rehearsal would release, beside what is there. */
export function Rehearsed({ study: running, draft, assessed }: { study: Running; draft: Draft; assessed: Assessed | null }) {
  const { study } = running;
  if (study === null) return null;
  const { rehearsed, tried } = study;
  const least = leastAsked(study.asked);
  const attempts =
    tried.length < 2 ? null : (
      <Section title="Attempts of the rehearsal">
        <Tries tried={tried} least={least} best={null} utility={GRANULARITY} onTake={null} />
      </Section>
    );
  if (rehearsed === null) return attempts;
  const { report, passes, words } = rehearsed;
  return (
    <>
      <Section title="Before and after">
        <Other is={isOtherRehearsal(study.asked, draft)}>
          Made with other settings than the form has now. Rehearse again to see what these do.
        </Other>
        {passes ? null : (
          <div className="decision refused-side" role="status">
            <h3>It would be withheld</h3>
            <p>{sentence(words ?? "the score is below what is asked for")}</p>
          </div>
        )}
        <Comparison report={report} label="Before and after" />
        <div className="spaced">
          <Forest
            label="Attacks before and after"
            before={assessed?.risk.attacks ?? []}
            after={report.attacks}
            least={least}
          />
        </div>
      </Section>
      {attempts}
    </>
  );
}
