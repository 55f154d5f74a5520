import { Button } from "react-aria-components";

import { epsilon } from "../../ui/format";
import { Explain } from "../../ui/parts";
import type { Outset, StudyKind } from "./contract";
import { isOtherRehearsal, leastAsked, planAsked, planWords } from "./made";
import type { Mode } from "./method";
import { adviceOf, columnsAs, gaps, planOf, sentence, type Draft, type Wish } from "./plan";
import { Busy, Other, Progress } from "./progress";
import { Missing } from "./publish";
import { Score } from "./score";
import type { Running } from "./studies";

/** What can be tried before anything is published. */
export function Trial({
  outset,
  draft,
  mode,
  wish,
  studies,
  isBusy,
}: {
  outset: Outset;
  draft: Draft;
  mode: Mode;
  wish: Wish;
  studies: Record<StudyKind, Running>;
  isBusy: boolean;
}) {
  if (mode === "best") {
    const quasi = columnsAs(draft, "quasi");
    const missing = [
      ...(quasi.length === 0 ? ["No column is a quasi-identifier, so there is nothing that groups could be made by."] : []),
      ...(wish.purpose === "train" && !columnsAs(draft, "sensitive", "other").includes(wish.target)
        ? ["Choose the column that the model predicts."]
        : []),
    ];
    return (
      <section className="panel" aria-label="Search">
        <h2>Find it</h2>
        <p className="muted">Each try is attacked, which takes some seconds. The tries are shown as they come in.</p>
        <Missing said={missing} />
        <Progress running={studies.advise} onAway={studies.advise.forget} />
        <Busy isBusy={isBusy} own={studies.advise} />
        <div className="actions">
          <Button
            className="primary"
            isPending={studies.advise.isRunning}
            isDisabled={(isBusy && !studies.advise.isRunning) || missing.length > 0}
            onPress={() => void studies.advise.begin({ advise: adviceOf(draft, wish) })}
          >
            {studies.advise.study === null ? "Find the best" : "Search again"}
          </Button>
        </div>
      </section>
    );
  }
  if (mode === "synthesise") {
    const { account, no_account } = outset;
    return (
      <section className="panel" aria-label="Price">
        <h2>Price</h2>
        {account === null ? (
          no_account?.kind === "unknown" ? (
            <p className="refused">What is left of the dataset&rsquo;s budget is not known now. {sentence(no_account.why)}</p>
          ) : (
            <p className="muted">The dataset has no account on the ledger, so there is nothing to pay from.</p>
          )
        ) : (
          <Budget spent={1 - account.epsilon_left / account.epsilon} left={account.epsilon_left} cost={draft.epsilon} />
        )}
        <p className="muted">
          A synthesis cannot be rehearsed: each attempt tells something of the records and is charged, also one that stays
          below the least score. It is attacked and scored when it is published.
        </p>
        <Missing said={gaps(draft, outset.columns)} />
      </section>
    );
  }
  const missing = gaps(draft, outset.columns);
  const { study } = studies.rehearse;
  const report = study?.rehearsed?.report ?? null;
  const plan = study === null ? null : planAsked(study.asked);
  return (
    <section className="panel" aria-label="Rehearsal">
      <h2>Rehearse it</h2>
      {report === null || study === null ? (
        <p className="muted">
          The whole chain is gone through in the node&rsquo;s memory and attacked. Nothing is published and nothing charged.
        </p>
      ) : (
        <>
          <Score value={report.score} least={leastAsked(study.asked)} before={report.assessment.score} />
          <Other is={isOtherRehearsal(study.asked, draft)}>
            Made with other settings than the form has now{plan === null ? "" : `: ${planWords(plan)}`}. Rehearse again to see
            what these do.
          </Other>
        </>
      )}
      <Missing said={missing} />
      <Progress running={studies.rehearse} onAway={studies.rehearse.forget} />
      <Busy isBusy={isBusy} own={studies.rehearse} />
      <div className="actions">
        <Button
          className="primary"
          isPending={studies.rehearse.isRunning}
          isDisabled={(isBusy && !studies.rehearse.isRunning) || missing.length > 0}
          onPress={() => void studies.rehearse.begin({ rehearse: { plan: planOf(draft) } })}
        >
          {report === null ? "Rehearse" : "Rehearse again"}
        </Button>
      </div>
    </section>
  );
}

function Budget({ spent, left, cost }: { spent: number; left: number; cost: number }) {
  const share = Math.min(1, Math.max(0, spent));
  return (
    <div className="budget">
      <div className="slider-head">
        <Explain word="Budget of the dataset">
          <p>
            What may ever be spent on this dataset, over all permits, as ε at the account&rsquo;s δ. It was stated when the
            dataset came onto the ledger, and is never raised.
          </p>
        </Explain>
        <span className="figure">ε {epsilon(left)} left</span>
      </div>
      <div
        className="bar whole"
        role="meter"
        aria-label="Budget spent"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share * 100)}
      >
        <i style={{ width: `${share * 100}%` }} />
      </div>
      {cost > left ? (
        <p className="refused">This costs more than is left.</p>
      ) : (
        <p className="muted note">This release: ε {epsilon(cost)} at most.</p>
      )}
    </div>
  );
}
