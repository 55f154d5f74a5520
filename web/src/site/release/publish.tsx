import { useState, type ReactNode } from "react";
import { Button } from "react-aria-components";

import { count, day, epsilon, shortId } from "../../ui/format";
import { PermitLink, ReceiptLink, Section, TransactionLink } from "../../ui/parts";
import { Choice, Doing, Field, Once, Trouble, Window, sentence } from "../parts";
import { Comparison } from "./comparison";
import type { NoAccount, Outset, OutsetPermit, PlanRead, Released, ReleasedDataset, Study } from "./contract";
import { Forest } from "./forest";
import { isOtherRelease, leastAsked } from "./made";
import { application, command, gaps, planOf, summary, unfit, unnamed, type Draft } from "./plan";
import { Busy, Other, Progress } from "./progress";
import { Score } from "./score";
import type { Running } from "./studies";

/** The plan of the form, as the node understands it. */
export interface PlanAsRead {
  plan: PlanRead | undefined;
  /** Why it is not understood. */
  error: Error | null;
  /** Whether it is the form's as it is now. */
  isFresh: boolean;
}

interface PublishProps {
  outset: Outset;
  holder: string;
  draft: Draft;
  onChange: (draft: Draft) => void;
  read: PlanAsRead;
  release: Running;
  /** Whether a study is running, which has to end first. */
  isBusy: boolean;
  /** Asks the ledger again. */
  onLook: () => void;
}

/** What is to be published, under which permit, and what it will cost: said before it is done. */
export function Publish(props: PublishProps) {
  const { outset, holder, draft, onChange, read, release, isBusy, onLook } = props;
  const [chosen, setChosen] = useState<string | null>(null);
  const [isAsked, setAsked] = useState(false);
  const fitting = outset.permits.find((one) => unfit(draft, one, outset.person) === null);
  const permit = outset.permits.find((one) => one.permit === chosen) ?? fitting ?? outset.permits[0] ?? null;
  const why = permit === null ? null : unfit(draft, permit, outset.person);
  const missing = [...gaps(draft, outset.columns), ...unnamed(draft, [outset.dataset])];
  const isForbidden = draft.way === "anonymise" && outset.account?.releases === "dp-only";
  const isReady =
    permit !== null && why === null && missing.length === 0 && !isForbidden && read.isFresh && read.plan !== undefined && read.error === null;
  return (
    <Section title="Publish">
      <div className="studio desk">
        <section className="panel" aria-label="What is published">
          <Field
            label="What the release is for"
            value={draft.purpose}
            hint="In a sentence. It stands on the certificate."
            onChange={(purpose) => onChange({ ...draft, purpose })}
          />
          <Field
            label="Name of the new dataset"
            value={draft.name}
            hint="Small letters, digits and underscores."
            onChange={(name) => onChange({ ...draft, name })}
          />
          {outset.account === null ? (
            <WithoutAccount dataset={outset.dataset} why={outset.no_account} onLook={onLook} />
          ) : outset.permits_unknown !== null ? (
            <Unasked onLook={onLook} title="The permits are not known now" why={outset.permits_unknown}>
              Nothing can be published until they are.
            </Unasked>
          ) : permit === null ? (
            <NoPermit {...props} />
          ) : (
            <>
              <Choice
                label="Under the permit"
                value={permit.permit}
                options={outset.permits.map((one) => [one.permit, permitWords(one)] as const)}
                onChange={setChosen}
              />
              {why === null ? (
                <p className="muted note">
                  <PermitLink id={permit.permit} />, for {permit.purpose}, until {day(permit.expires)}.
                </p>
              ) : (
                <>
                  <Trouble>{why}</Trouble>
                  {isForbidden ? null : <NoPermit {...props} />}
                </>
              )}
            </>
          )}
        </section>
        <section className="panel" aria-label="What will happen">
          <h3>What will happen</h3>
          {isForbidden ? (
            <Trouble>
              {outset.dataset} takes releases with a bounded privacy loss only, and that never changes. An anonymised table
              has no bound: synthesise it.
            </Trouble>
          ) : (
            <Consequences outset={outset} draft={draft} read={read} permit={permit} />
          )}
          <Missing said={missing} />
          <Progress running={release} onAway={release.forget} />
          <Busy isBusy={isBusy} own={release} />
          <div className="actions">
            <Button
              className="primary"
              isPending={release.isRunning}
              isDisabled={!isReady || (isBusy && !release.isRunning)}
              onPress={() => setAsked(true)}
            >
              Publish…
            </Button>
          </div>
        </section>
      </div>
      {release.study?.state === "done" && release.study.released !== null ? (
        <div className="spaced">
          <Outcome study={release.study} released={release.study.released} draft={draft} release={release} isBusy={isBusy} />
        </div>
      ) : null}
      <PlanText dataset={outset.dataset} permit={permit?.permit ?? null} read={read} />
      <Window title={`Publish ${draft.name.trim()}`} isOpen={isAsked} onClose={() => setAsked(false)}>
        {permit === null ? null : (
          <Doing
            label={draft.way === "synthesise" ? "Charge it and publish" : "Submit it to the reviewers"}
            action={async () => {
              await release.begin({ release: { plan: planOf(draft), permit: permit.permit } });
              setAsked(false);
            }}
          >
            <Consequences outset={outset} draft={draft} read={read} permit={permit} />
            <p className="muted">Under {shortId(permit.permit)} of {holder}. Your name stands in the access log.</p>
          </Doing>
        )}
      </Window>
    </Section>
  );
}

function permitWords(one: OutsetPermit): string {
  const left = one.epsilon_left === null ? "" : `, ε ${epsilon(one.epsilon_left)} left`;
  const state = one.usable ? "" : `, ${one.state}`;
  return `${shortId(one.permit)}${left}${state}`;
}

export function Missing({ said }: { said: string[] }) {
  if (said.length === 0) return null;
  return (
    <ul className="todo">
      {said.map((one) => (
        <li key={one}>{one}</li>
      ))}
    </ul>
  );
}

/** That the ledger did not say something, and how to ask it again. */
function Unasked({ title, why, onLook, children }: { title: string; why: string; onLook: () => void; children: ReactNode }) {
  return (
    <div className="state" role="alert">
      <h3>{title}</h3>
      <p>{sentence(why)}</p>
      <p>{children}</p>
      <Button onPress={onLook}>Look again</Button>
    </div>
  );
}

/** What helps a dataset that shows no account, by why it shows none. */
export function WithoutAccount({ dataset, why, onLook }: { dataset: string; why: NoAccount | null; onLook: () => void }) {
  // Whoever opens an account chooses for ever, so the command stands here only where there is surely none.
  if (why?.kind === "not-shared") {
    return (
      <div className="state" role="status">
        <h3>{dataset} is not on the ledger</h3>
        <p>
          A release is charged to the dataset&rsquo;s privacy account. You can measure and rehearse without; to publish, state
          its profile in <code>privacy.toml</code> and open the account:
        </p>
        <Once value={`salus dataset share ${dataset} --epsilon 10 --allow-gate`} label="the command" />
        <p>
          Decide on both before you run it, for neither can be changed later. <code>--epsilon</code> is all that may ever be
          spent on the dataset; <code>--allow-gate</code> lets anonymised tables go before reviewers, and without it only
          releases with a bounded privacy loss are taken.
        </p>
      </div>
    );
  }
  if (why?.kind === "no-ledger") {
    return (
      <div className="state" role="status">
        <h3>This site is on no ledger</h3>
        <p>A release is charged and recorded there. You can measure and rehearse; to publish, the site has to join one.</p>
      </div>
    );
  }
  return (
    <Unasked title="The ledger could not be asked" why={why?.why ?? "it said nothing of the account"} onLook={onLook}>
      {dataset} may well have its account there. You can measure and rehearse meanwhile; nothing can be published until the
      ledger answers.
    </Unasked>
  );
}

function NoPermit({ outset, holder, draft }: PublishProps) {
  return (
    <div className="state" role="status">
      <h3>{outset.permits.length === 0 ? "No permit names this dataset" : "Another permit"}</h3>
      <p>A release is made under a permit of this site&rsquo;s own. Apply for one that covers this plan:</p>
      <Once value={application(draft, holder, outset.dataset, outset.person)} label="the command" />
      <p>An officer of the hub decides on it, on the page Permits of the hub&rsquo;s console. It is listed here then.</p>
    </div>
  );
}

/** What the release does, and to whose account: before it is done. */
function Consequences({
  outset,
  draft,
  read,
  permit,
}: {
  outset: Outset;
  draft: Draft;
  read: PlanAsRead;
  permit: OutsetPermit | null;
}) {
  if (read.error !== null) return <Trouble>{sentence(read.error)}</Trouble>;
  const most = read.plan?.most;
  const said: ReactNode[] =
    draft.way === "synthesise"
      ? [
          most == null ? (
            <>It is charged to the dataset&rsquo;s account.</>
          ) : (
            <>
              It costs at most <strong className="figure">ε {epsilon(most.epsilon)}</strong>.
              {outset.account === null ? null : (
                <>
                  {" "}
                  Of the dataset&rsquo;s budget ε <span className="figure">{epsilon(outset.account.epsilon_left)}</span> is left
                  {permit === null ? "" : `, under the permit ε ${epsilon(permit.epsilon_left)}`}.
                </>
              )}
            </>
          ),
          <>It is charged also when the score stays below {draft.leastScore}; then nothing is published.</>,
          <>Otherwise everybody can fetch the table, its certificate and its receipt from this site at once.</>,
        ]
      : [
          <>
            An anonymised table has <strong>no bound of privacy</strong>: the account books it as not bounded, and no ε.
          </>,
          <>
            It goes before <strong>reviewers</strong>, two different keys unless the ledger&rsquo;s rule for this dataset says
            otherwise. Nothing is published before they approve exactly this table.
          </>,
          <>Below a score of {draft.leastScore} it is not submitted at all.</>,
        ];
  return (
    <>
      <p>{summary(draft)}</p>
      <ul className="notes">
        {said.map((one, at) => (
          <li key={at}>{one}</li>
        ))}
        <li>People who opted out are left out. Request, receipt and result stand on the ledger under the permit.</li>
      </ul>
    </>
  );
}

/** The plan as a file for the command line. */
function PlanText({ dataset, permit, read }: { dataset: string; permit: string | null; read: PlanAsRead }) {
  const [copied, setCopied] = useState(false);
  const text = read.plan?.plan_toml;
  const copy = () => {
    if (text === undefined) return;
    void navigator.clipboard.writeText(text).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    });
  };
  return (
    <details className="plan">
      <summary>The same from the command line</summary>
      <p className="muted">
        Kept as <code>plan.toml</code>, it does the same with <code>{command(dataset, permit)}</code>
      </p>
      <pre className="sql" aria-label="plan.toml" tabIndex={0}>
        {text ?? (read.error !== null ? sentence(read.error) : "…")}
      </pre>
      <div className="actions">
        <Button isDisabled={text === undefined} onPress={copy}>
          {copied ? "Copied" : "Copy plan.toml"}
        </Button>
      </div>
    </details>
  );
}

export function Outcome({
  study,
  released,
  draft,
  release,
  isBusy,
}: {
  study: Study;
  released: Released;
  draft: Draft;
  release: Pick<Running, "repeat" | "forget">;
  isBusy: boolean;
}) {
  const { outcome, charged, permit } = released;
  const other = <Other is={isOtherRelease(study.asked, draft)}>Made with other settings than the form has now.</Other>;
  const cost = charged === null ? "Nothing was charged this time." : `ε ${epsilon(charged.epsilon)} was charged.`;
  const close = (
    <div className="actions">
      <Button onPress={release.forget}>Put it away</Button>
    </div>
  );
  if ("withheld" in outcome) {
    return (
      <div className="decision refused-side" role="status">
        <h3>Withheld</h3>
        {other}
        <p>{sentence(outcome.withheld.words)}</p>
        <p>
          {cost} Nothing was published. A synthesis scores higher with less ε or fewer columns, and another one is charged
          again; an anonymised table with larger groups, more suppression or fewer columns: rehearse it first.
        </p>
        {close}
      </div>
    );
  }
  if ("under-review" in outcome) {
    const { review, name, state, approvals, needed } = outcome["under-review"];
    const isRefused = state === "refused";
    return (
      <div className={`decision${isRefused ? " refused-side" : ""}`} role="status">
        <h3>{isRefused ? "Refused by a reviewer" : "Waits for reviewers"}</h3>
        <p>
          {approvals} of {needed} have approved {name}. The review is <TransactionLink id={review} />.{" "}
          {isRefused
            ? "Change what they object to, and publish it again: that is a new submission."
            : "When enough have, give the same release again: it goes on from where it was."}
        </p>
        {other}
        {isRefused ? null : (
          <>
            {release.repeat === null ? null : (
              <div className="actions">
                <Button className="primary" isDisabled={isBusy} onPress={release.repeat}>
                  Give the same release again
                </Button>
              </div>
            )}
            <p>Reviewers need the report of the automatic checks, as a file:</p>
            <Once value={`salus gate report ${review} --out ${name}.review`} label="the command" />
          </>
        )}
        {close}
      </div>
    );
  }
  const { published, report } = outcome.published;
  return (
    <>
      <div className="decision" role="status">
        <h3>{published.dataset} is published</h3>
        {other}
        <p>
          {count(published.records)} {published.kind} records. {cost} Receipt <ReceiptLink id={published.receipt} /> under{" "}
          <PermitLink id={permit} />.
        </p>
        <Files published={published} />
        {close}
      </div>
      {report === null ? null : (
        <>
          <div className="panel">
            <Score value={report.score} least={leastAsked(study.asked)} before={report.assessment.score} />
          </div>
          <div className="spaced">
            <Comparison report={report} label="The published table beside the records as they were" />
          </div>
          <div className="spaced" />
          <Forest label="Attacks on what was published" before={report.attacks} least={leastAsked(study.asked)} />
        </>
      )}
    </>
  );
}

/** The published files, which are for everybody. */
export function Files({ published }: { published: Pick<ReleasedDataset, "dataset"> }) {
  const file = (name: string) => `/v1/published/${encodeURIComponent(published.dataset)}/${name}`;
  return (
    <ul className="about beside">
      {(
        [
          ["certificate.html", "Certificate (HTML)"],
          ["certificate.pdf", "Certificate (PDF)"],
          ["records.csv", "Records (CSV)"],
          ["receipt.cbor", "Receipt (CBOR)"],
        ] as const
      ).map(([name, label]) => (
        <li key={name}>
          <a href={file(name)} target="_blank" rel="noreferrer" aria-label={`${label} of ${published.dataset}, in another tab`}>
            {label}
          </a>
        </li>
      ))}
    </ul>
  );
}
