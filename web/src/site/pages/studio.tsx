import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Button, FileTrigger, TextArea, TextField, Label } from "react-aria-components";

import { Empty, Failed, Loading } from "../../ui/states";
import { Amount, Explain, Page, PermitLink, Section } from "../../ui/parts";
import { permit as permitQuery } from "../../api/queries";
import type { PermitLine } from "../../api/client";
import { epsilon as epsilonText } from "../../ui/format";
import { openAnswer, fromHex, keepKey, keptKeys, forgetKey, openKeyFile, resultHash, signQuestion, type PermitKey } from "../key";
import { site, studio, type HolderShown, type Plan, type Profile } from "../api";
import { number, read, type Shown } from "../answer";
import { Builder } from "../builder";
import { fromJson, isWhole, toSql, type Built } from "../question";
import { Choice, Doing, Field, Trouble, Window, sentence } from "../parts";
import { ResultView } from "../result";
import { Spend, STEPS } from "../spend";

/** How often a count may be asked for one price. */
const TICKS = [1, 12, 52, 365, 1000] as const;

/** How many rows are assumed to pass a filter, where a number's error depends on it. */
const ASSUMED_ROWS = 1000;

const EMPTY: Built = { dataset: "", measure: "count", column: "", second: "", number: 10, conditions: [] };

export function StudioPage() {
  const [keys, setKeys] = useState<PermitKey[] | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const read = () =>
    keptKeys()
      .then(setKeys)
      .catch((error: unknown) => setTrouble(sentence(error)));
  useEffect(() => void read(), []);
  return (
    <Page
      title="Query studio"
      lead="Questions under a permit. What comes back has noise that hides each person, and says how much."
    >
      <Trouble>{trouble}</Trouble>
      {keys === null && trouble === null ? <Loading lines={6} /> : null}
      {keys !== null && keys.length === 0 ? <FirstKey onKept={read} /> : null}
      {keys !== null && keys.length > 0 ? <Studio keys={keys} onKeys={read} /> : null}
    </Page>
  );
}

function KeyForm({ onKept }: { onKept: () => Promise<void> }) {
  const [file, setFile] = useState<File | null>(null);
  const [code, setCode] = useState("");
  const take = async () => {
    if (file === null) return;
    await keepKey(await openKeyFile(await file.text(), code));
    await onKept();
  };
  return (
    <Doing label="Take the key in" action={take} isReady={file !== null && code.trim() !== ""}>
      <div className="control">
        <span className="react-aria-Label">Key file</span>
        <FileTrigger
          acceptedFileTypes={[".json", ".key", "application/json"]}
          onSelect={(files) => setFile(files?.item(0) ?? null)}
        >
          <Button>{file === null ? "Choose the file…" : file.name}</Button>
        </FileTrigger>
      </div>
      <Field
        label="Its code"
        value={code}
        onChange={setCode}
        hint="Five groups of five and one more. It came by another way than the file."
      />
    </Doing>
  );
}

function FirstKey({ onKept }: { onKept: () => Promise<void> }) {
  return (
    <div className="columns">
      <div className="panel">
        <h2>Begin with your permit&rsquo;s key</h2>
        <KeyForm onKept={onKept} />
      </div>
      <div className="panel quiet">
        <h2>Where it comes from</h2>
        <p>
          Whoever applied for the permit writes the file with <code>salus permit key</code> and sends
          you file and code apart.
        </p>
        <h2>What happens to it</h2>
        <p>
          It is opened in this browser and kept here as a key that signs and cannot be read again. It
          is not sent to the node. Questions are signed here, answers are opened here.
        </p>
      </div>
    </div>
  );
}

function Studio({ keys, onKeys }: { keys: PermitKey[]; onKeys: () => Promise<void> }) {
  const [chosen, setChosen] = useState(keys[0]?.permit ?? "");
  const [isAdding, setAdding] = useState(false);
  const key = keys.find((one) => one.permit === chosen) ?? keys[0];
  const terms = useQuery({ ...permitQuery(key?.permit ?? ""), enabled: key !== undefined });
  const offered = useQuery(studio);
  const forget = async () => {
    if (key !== undefined) await forgetKey(key.permit);
    await onKeys();
  };
  if (key === undefined) return null;
  const failed = terms.error ?? offered.error;
  const again = () => {
    void terms.refetch();
    void offered.refetch();
  };
  return (
    <>
      <div className="filters">
        <Choice
          label="Permit"
          value={key.permit}
          options={keys.map((one) => [one.permit, `${one.permit.slice(0, 15)}…${one.permit.slice(-4)}`] as const)}
          onChange={setChosen}
        />
        <Button onPress={() => setAdding(true)}>Add a permit&rsquo;s key</Button>
        <Button className="quiet" onPress={() => void forget()}>
          Forget this one
        </Button>
      </div>
      {failed !== null ? (
        <Failed error={failed} again={again} />
      ) : terms.data === undefined || offered.data === undefined ? (
        <Loading lines={8} />
      ) : terms.data.state !== "granted" ? (
        <Empty>
          This permit is {terms.data.state.replaceAll("-", " ")}: nothing can be asked under it.
        </Empty>
      ) : (
        <Desk key={key.permit} permitKey={key} terms={terms.data} holders={offered.data.holders} />
      )}
      <Window title="Add a permit's key" isOpen={isAdding} onClose={() => setAdding(false)}>
        <KeyForm
          onKept={async () => {
            await onKeys();
            setAdding(false);
          }}
        />
      </Window>
    </>
  );
}

/** A dataset that both the permit names and its holder answers about. */
function askable(terms: PermitLine, holders: HolderShown[]): { id: string; profile: Profile }[] {
  return terms.grounds.flatMap(({ dataset }) => {
    const [holder = "", name = ""] = dataset.split("/");
    const profile = holders.find((one) => one.holder === holder)?.profiles[name];
    return profile === undefined ? [] : [{ id: dataset, profile }];
  });
}

type Way = "builder" | "sql";

function Desk({ permitKey, terms, holders }: { permitKey: PermitKey; terms: PermitLine; holders: HolderShown[] }) {
  const datasets = askable(terms, holders);
  const [at, setAt] = useState(datasets[0]?.id ?? "");
  const [way, setWay] = useState<Way>("builder");
  const [built, setBuilt] = useState<Built>({ ...EMPTY, dataset: at.split("/")[1] ?? "" });
  const [sql, setSql] = useState("");
  const [step, setStep] = useState(6);
  const [ticks, setTicks] = useState(1);
  const [note, setNote] = useState<string | null>(null);
  const [shown, setShown] = useState<Shown | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isAsking, setAsking] = useState(false);
  const client = useQueryClient();
  const dataset = datasets.find((one) => one.id === at);
  const ground = terms.grounds.find((one) => one.dataset === at);
  const text = way === "sql" ? sql : dataset === undefined || !isWhole(built) ? "" : toSql(built, dataset.profile);
  const settled = useSettled(text);
  const spend = STEPS[step] ?? 0.5;
  const canFollow = way === "sql" || built.measure === "count" || built.measure === "distinct-units";
  const answers = canFollow && ticks > 1 ? ticks : null;
  const plan = useQuery({
    queryKey: ["plan", at, permitKey.permit, settled, spend, answers],
    queryFn: () =>
      site.plan({ holder: at.split("/")[0] ?? "", permit: permitKey.permit, sql: settled, question: null, epsilon: spend, mechanism: "gaussian", assumed_rows: ASSUMED_ROWS, ticks: answers, turns: null }),
    enabled: settled.trim() !== "",
    staleTime: 10_000,
    retry: false,
    placeholderData: (before) => (settled.trim() === "" ? undefined : before),
  });
  if (dataset === undefined || ground === undefined) return <Nowhere terms={terms} holders={holders} />;

  const change = (id: string) => {
    setAt(id);
    setBuilt({ ...EMPTY, dataset: id.split("/")[1] ?? "" });
    setWay("builder");
  };
  const toText = () => {
    setSql(text);
    setWay("sql");
    setNote(null);
  };
  const toBuilder = () => {
    const read = plan.data === undefined || plan.isError ? null : fromJson(plan.data.text);
    if (read === null) {
      setNote(
        plan.isError
          ? "Mend the text first: the builder shows what can be asked."
          : "The builder has no place for this question. It is asked as it is written.",
      );
      return;
    }
    setBuilt(read);
    setWay("builder");
    setNote(null);
  };
  const ask = async () => {
    const ready = plan.data;
    if (ready === undefined || isAsking) return;
    setAsking(true);
    setTrouble(null);
    try {
      setShown(await answered(permitKey, at, ready, dataset.profile));
      void client.invalidateQueries({ queryKey: ["asked"] });
      void client.invalidateQueries({ queryKey: ["permit"] });
      void client.invalidateQueries({ queryKey: ["plan"] });
    } catch (error) {
      setTrouble(sentence(error));
    } finally {
      setAsking(false);
    }
  };
  const isFresh = settled === text && !plan.isPlaceholderData;
  const isReady = plan.data !== undefined && !plan.isError && isFresh && plan.data.uncovered.length === 0 && settled.trim() !== "";
  const left = shown !== null && shown.dataset === at && plan.data === undefined ? shown.answered.epsilon_left : plan.data?.epsilon_left;
  return (
    <>
      <div className="studio">
        <section className="panel" aria-label="Question">
          <div className="section-head">
            <h2>Question</h2>
            <div className="toggle" role="group" aria-label="How the question is written">
              <Button className="quiet" data-selected={way === "builder" || undefined} aria-pressed={way === "builder"} onPress={way === "builder" ? () => undefined : toBuilder}>
                Builder
              </Button>
              <Button className="quiet" data-selected={way === "sql" || undefined} aria-pressed={way === "sql"} onPress={way === "sql" ? () => undefined : toText}>
                SQL
              </Button>
            </div>
          </div>
          <Choice label="Dataset" value={at} options={datasets.map(({ id }) => [id, id] as const)} onChange={change} />
          {way === "builder" ? (
            <>
              <Builder built={built} profile={dataset.profile} onChange={setBuilt} />
              <pre className="sql" aria-label="The same in SQL">
                {text === "" ? "Choose the columns, and the question stands here in SQL." : text}
              </pre>
            </>
          ) : (
            <TextField className="control" value={sql} onChange={setSql}>
              <Label>Question in SQL</Label>
              <TextArea className="field code" rows={6} spellCheck="false" />
            </TextField>
          )}
          <Trouble>{note}</Trouble>
          {plan.isError && isFresh ? <Trouble>{sentence(plan.error)}</Trouble> : null}
        </section>
        <section className="panel" aria-label="Price">
          <h2>Price and error</h2>
          <Spend step={step} onStep={setStep} />
          {canFollow ? (
            <>
              <Choice
                label="Answers for this price"
                value={String(ticks)}
                options={TICKS.map((n) => [String(n), n === 1 ? "One, now" : `Up to ${number(n)}, followed over time`] as const)}
                onChange={(chosen) => setTicks(Number(chosen))}
              />
              {answers === null ? null : (
                <p className="muted note">
                  Ask in the same words again for the next answer: it costs nothing more, and comes
                  when the dataset has changed. Who comes or leaves more than twice stays as counted.
                </p>
              )}
            </>
          ) : null}
          <Expected plan={plan.isError ? undefined : plan.data} isWaiting={plan.isFetching || settled !== text} />
          <Meter ground={ground} left={left} cost={plan.isError ? undefined : plan.data?.epsilon} />
          <Uncovered plan={plan.isError ? undefined : plan.data} />
          <Trouble>{trouble}</Trouble>
          <div className="actions">
            <Button className="primary" isDisabled={!isReady} aria-busy={isAsking} onPress={() => void ask()}>
              {isAsking ? "Asking…" : `Ask for ε ${epsilonText(plan.data?.epsilon ?? spend)}${answers === null ? "" : `, all ${number(answers)}`}`}
            </Button>
          </div>
        </section>
      </div>
      {shown === null ? (
        <Section title="Answer">
          <Empty>The answer comes here: estimates with their 95 % intervals, what they cost, and the receipt.</Empty>
        </Section>
      ) : (
        <ResultView shown={shown} />
      )}
    </>
  );
}

/** Asks, opens what comes back, and checks that it is what the receipt is for. */
async function answered(key: PermitKey, dataset: string, plan: Plan, profile: Profile): Promise<Shown> {
  const holder = dataset.split("/")[0] ?? "";
  const { text, purpose, code } = plan;
  const request = await signQuestion(key, { holder, purpose, code, text });
  const answered = await site.ask(request, text);
  const message = fromHex(answered.message);
  let opened: string;
  try {
    opened = await openAnswer(key, { holder, deal: answered.deal }, message);
  } catch {
    throw new Error("The answer does not open with the permit's key. It was charged all the same: keep its receipt.");
  }
  const hash = await resultHash(fromHex(answered.salt), message);
  return {
    ...read(opened),
    answered,
    permit: key.permit,
    dataset,
    sql: plan.sql,
    question: text,
    profile,
    hash,
  };
}

/** What was typed, once it rests for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), 350);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

function Expected({ plan, isWaiting }: { plan: Plan | undefined; isWaiting: boolean }) {
  const told = plan === undefined ? null : errorWords(plan);
  return (
    <dl className="expected" aria-live="polite" aria-busy={isWaiting}>
      <div>
        <dt>
          <Explain word="Expected error">
            <p>
              How far the answer will lie from the exact one, in 95 of 100 answers. It follows from
              the question, the price and the published bounds alone, so that knowing it tells
              nothing about any record.
            </p>
          </Explain>
        </dt>
        <dd className="figure">{told === null ? <span className="muted">–</span> : told.figure}</dd>
        <dd className="note">{told?.note ?? "Write a question, and its error stands here before you ask."}</dd>
      </div>
    </dl>
  );
}

function errorWords(plan: Plan): { figure: string; note: string } {
  const error = plan.expected_error;
  if ("value" in error) {
    return { figure: `± ${number(error.value.half_width)}`, note: "in 95 of 100 answers" };
  }
  if ("rank" in error) {
    return { figure: `± ${number(error.rank.half_width)} places`, note: "in the order of rows, in 95 of 100 answers" };
  }
  const { rows, half_width } = error["at-rows"];
  return { figure: `± ${number(half_width)}`, note: `in 95 of 100 answers, if ${number(rows)} rows pass the filter` };
}

type GroundLine = PermitLine["grounds"][number];

function Meter({ ground, left, cost }: { ground: GroundLine; left: number | undefined; cost: number | undefined }) {
  const whole = Math.max(ground.budget.micro_rho, 1);
  const spent = Math.min(1, ground.spent.micro_rho / whole);
  return (
    <div className="budget">
      <div className="slider-head">
        <Explain word="Budget of the permit">
          <p>
            What the permit may spend on this dataset in all. Parts of it add up in ρ, which the bar
            shows; the ε beside it is what one more answer may cost.
          </p>
        </Explain>
        <span className="figure">
          {left === undefined ? <Amount loss={ground.left} /> : <>ε {epsilonText(left)} left</>}
        </span>
      </div>
      <div
        className="bar whole"
        role="meter"
        aria-label="Budget spent"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(spent * 100)}
      >
        <i style={{ width: `${spent * 100}%` }} />
      </div>
      {left !== undefined && cost !== undefined && cost > left ? (
        <p className="refused">This question costs more than is left.</p>
      ) : (
        <p className="muted note">{Math.round(spent * 100)} % is spent.</p>
      )}
    </div>
  );
}

function Uncovered({ plan }: { plan: Plan | undefined }) {
  if (plan === undefined || plan.uncovered.length === 0) return null;
  return (
    <Trouble>
      The permit does not cover {plan.uncovered.join(", ")}. Leave {plan.uncovered.length === 1 ? "it" : "them"} out, or
      have the permit amended.
    </Trouble>
  );
}

function Nowhere({ terms, holders }: { terms: PermitLine; holders: HolderShown[] }) {
  const away = holders.filter((one) => one.unreachable !== null);
  return (
    <div className="state" role="status">
      <h2>No holder answers about these datasets now</h2>
      <p>The permit names {terms.grounds.map((one) => one.dataset).join(", ")}.</p>
      {away.map((one) => (
        <p key={one.holder}>
          {one.holder}: {one.unreachable}
        </p>
      ))}
      {away.length === 0 ? (
        <p>
          This site does not know their nodes: its operator notes them with <code>salus holder add</code>.
        </p>
      ) : null}
      <p>
        <PermitLink id={terms.id} />
      </p>
    </div>
  );
}
