import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useEffect, useEffectEvent, useMemo, useState } from "react";

import { count } from "../../ui/format";
import { Page, Section } from "../../ui/parts";
import { Answer } from "../../ui/states";
import { useAttended } from "../attended";
import { sentence } from "../parts";
import { Before } from "../release/before";
import { outset as outsetQuery, readPlan, study as studyQuery } from "../release/client";
import { Columns } from "../release/columns";
import { KINDS, type Assessed, type Outset, type StudyKind } from "../release/contract";
import { first, reconciled, suggested } from "../release/draft";
import { Forest } from "../release/forest";
import { Advice, Rehearsed } from "../release/found";
import { METHOD, MethodForm, type Mode } from "../release/method";
import { planOf, whole, type Draft, type Plan, type Wish } from "../release/plan";
import { isGone, unseen } from "../release/poll";
import { Publish, type PlanAsRead } from "../release/publish";
import { RiskPanel } from "../release/risk";
import { ATTENDED_MS, useKept, useStudy, type Running } from "../release/studies";
import { Trial } from "../release/trial";
import { useSession } from "../session";

/** How often a ledger that did not answer is asked again. */
const LEDGER_MS = 20_000;
/** How often a study of another page is asked about. */
const ELSEWHERE_MS = 3_000;

/** Whether the ledger left something open. */
const isOpen = ({ no_account, permits_unknown, reviews_unknown }: Outset): boolean =>
  no_account?.kind === "unknown" || permits_unknown !== null || reviews_unknown !== null;

export function ReleasePage() {
  const { dataset } = useParams({ from: "/releases/$dataset" });
  const isAttended = useAttended(ATTENDED_MS);
  const query = useQuery({
    ...outsetQuery(dataset),
    refetchInterval: ({ state: { data } }) => (isAttended && data !== undefined && isOpen(data) ? LEDGER_MS : false),
  });
  return (
    <Page
      title={`Release ${dataset}`}
      lead="Figures on this page are exact, without noise, and for you alone. Each look at the rows stands in the access log under your name."
    >
      <p className="neighbours">
        <Link to="/releases">All datasets</Link>
        <Link to="/holdings/$dataset" params={{ dataset }}>
          {dataset} in the lake
        </Link>
      </p>
      <Answer query={query} lines={10}>
        {(outset) => <Begin key={outset.dataset} outset={outset} />}
      </Answer>
    </Page>
  );
}

function Begin({ outset }: { outset: Outset }) {
  if (outset.withheld !== null) {
    return (
      <div className="state" role="alert">
        <h2>{outset.dataset} cannot be studied</h2>
        <p>{sentence(outset.withheld)}</p>
      </div>
    );
  }
  if (outset.rows === 0) {
    return (
      <div className="state" role="status">
        <h2>{outset.dataset} is empty</h2>
        <p>There is nothing to release before records have come in.</p>
      </div>
    );
  }
  if (outset.rows > outset.most_rows) {
    return (
      <div className="state" role="status">
        <h2>{outset.dataset} is too large for the studio</h2>
        <p>
          It has {count(outset.rows)} rows, and a study takes {count(outset.most_rows)} into memory at most. Release it from
          the command line: <code>salus release {outset.dataset} --plan plan.toml --permit permit-…</code>
        </p>
      </div>
    );
  }
  return <Desk outset={outset} />;
}

function Desk({ outset }: { outset: Outset }) {
  const { dataset } = outset;
  const holder = useSession()?.who.holder ?? "";
  const client = useQueryClient();
  const [kept, setDraft] = useKept<Draft>(`release.${dataset}.draft`, () => first(outset));
  const draft = useMemo(() => reconciled(kept, outset), [kept, outset]);
  const [mode, setMode] = useKept<Mode>(`release.${dataset}.mode`, () => "best");
  const [wish, setWish] = useKept<Wish>(`release.${dataset}.wish`, () => ({ purpose: "statistics", target: "" }));
  const [population, setPopulation] = useKept(`release.${dataset}.population`, () => "");
  const studies: Record<StudyKind, Running> = {
    assess: useStudy(dataset, "assess"),
    advise: useStudy(dataset, "advise"),
    rehearse: useStudy(dataset, "rehearse"),
    release: useStudy(dataset, "release"),
  };
  const elsewhere = useAdopted(outset, studies, (kind) => {
    if (kind === "advise") setMode("best");
    if (kind === "rehearse") setMode("anonymise");
  });
  const assessed = studies.assess.study?.assessed ?? null;
  useSuggestions(outset, assessed, setDraft);
  const isBusy = elsewhere !== null || Object.values(studies).some((one) => one.isRunning);
  const read = usePlan(dataset, draft);
  const size = whole(population);
  const assess = (quasi: string[] | null) =>
    void studies.assess.begin({
      assess: {
        quasi_identifiers: quasi,
        population_size: size,
        least_score: draft.leastScore,
      },
    });
  const take = (next: Draft) => {
    setDraft(next);
    setMode("anonymise");
    // There they stand, to be rehearsed.
    const form = document.getElementById(METHOD);
    form?.focus({ preventScroll: true });
    form?.scrollIntoView({ block: "center" });
  };
  return (
    <>
      {elsewhere === null ? null : (
        <p className="decision">
          <span>
            A study of <Link to="/releases/$dataset" params={{ dataset: elsewhere }}>{elsewhere}</Link> is running: one at a
            time for each account.
          </span>
        </p>
      )}
      <div className="studio desk part">
        <div>
          <Columns outset={outset} assessed={assessed} draft={draft} onChange={setDraft} />
        </div>
        <RiskPanel
          assessed={assessed}
          draft={draft}
          running={studies.assess}
          isBusy={isBusy}
          population={population}
          onPopulation={setPopulation}
          onAssess={assess}
          rows={outset.rows}
        />
      </div>
      {assessed === null || (mode === "anonymise" && studies.rehearse.study?.rehearsed != null) ? null : (
        <Section title="Attacks on the records as they are">
          <Forest label="Attacks on the records as they are" before={assessed.risk.attacks} least={draft.leastScore} />
        </Section>
      )}
      <div className="studio desk part">
        <MethodForm
          outset={outset}
          draft={draft}
          onChange={setDraft}
          mode={mode}
          onMode={(chosen) => {
            setMode(chosen);
            if (chosen !== "best") setDraft((old) => ({ ...old, way: chosen }));
          }}
          wish={wish}
          onWish={setWish}
        />
        <Trial outset={outset} draft={draft} mode={mode} wish={wish} studies={studies} isBusy={isBusy} />
      </div>
      {mode !== "best" ? null : (
        <Advice advise={studies.advise} draft={draft} wish={wish} onTake={take} />
      )}
      {mode === "anonymise" ? <Rehearsed study={studies.rehearse} draft={draft} assessed={assessed} /> : null}
      {mode === "best" && studies.release.study === null && !studies.release.isLost && studies.release.unseen === null ? null : (
        <Publish
          outset={outset}
          holder={holder}
          draft={draft}
          onChange={setDraft}
          read={read}
          release={studies.release}
          isBusy={isBusy}
          onLook={() => void client.invalidateQueries({ queryKey: outsetQuery(dataset).queryKey })}
        />
      )}
      <Before outset={outset} />
    </>
  );
}

/** Takes up a study of this account that was begun in another tab; says of which dataset one is otherwise. */
function useAdopted(
  outset: Outset,
  studies: Record<StudyKind, Running>,
  onAdopted: (kind: StudyKind) => void,
): string | null {
  const { running, dataset } = outset;
  const isOwn = Object.values(studies).some((one) => one.study?.study === running);
  const client = useQueryClient();
  const isAttended = useAttended(ATTENDED_MS);
  const isElsewhere = running !== null && !isOwn;
  const { data } = useQuery({
    ...studyQuery(running ?? ""),
    enabled: isElsewhere,
    retry: false,
    refetchInterval: ({ state: { data, error } }) =>
      isAttended && (data === undefined || data.state === "running") && !isGone(error) && (unseen(error)?.isTrying ?? true)
        ? ELSEWHERE_MS
        : false,
  });
  const hasEnded = isElsewhere && data !== undefined && data.state !== "running";
  useEffect(() => {
    if (hasEnded) void client.invalidateQueries({ queryKey: ["release", dataset] });
  }, [client, dataset, hasEnded]);
  const found = !isElsewhere || data?.state !== "running" ? undefined : data;
  const mine = found?.dataset === dataset ? found : undefined;
  const adopt = useEffectEvent((id: string, kind: StudyKind) => {
    studies[kind].adopt(id);
    onAdopted(kind);
  });
  useEffect(() => {
    const kind = KINDS.find((one) => one === mine?.kind);
    if (mine !== undefined && kind !== undefined) adopt(mine.study, kind);
  }, [mine]);
  return found === undefined || mine !== undefined ? null : found.dataset;
}

/** The roles that are suggested, after the first look. */
function useSuggestions(outset: Outset, assessed: Assessed | null, setDraft: (change: (old: Draft) => Draft) => void) {
  const [isTaken, setTaken] = useKept(`release.${outset.dataset}.suggested`, () => false);
  useEffect(() => {
    if (assessed === null || isTaken) return;
    setTaken(true);
    setDraft((old) => suggested(old, assessed, first(outset)));
  }, [assessed, isTaken, outset, setDraft, setTaken]);
}

/** The plan as the node reads it, once the form rests for a moment. */
function usePlan(dataset: string, draft: Draft): PlanAsRead {
  const text = JSON.stringify(planOf(draft));
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), 350);
    return () => clearTimeout(timer);
  }, [text]);
  const { data, error, isPlaceholderData } = useQuery({
    queryKey: ["release-plan", dataset, settled],
    queryFn: () => readPlan(dataset, JSON.parse(settled) as Plan),
    staleTime: 60_000,
    placeholderData: (before) => before,
  });
  return { plan: data, error, isFresh: settled === text && !isPlaceholderData };
}
