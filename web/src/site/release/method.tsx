import type { ReactNode } from "react";
import { Button, Disclosure, DisclosurePanel, Heading } from "react-aria-components";

import { count } from "../../ui/format";
import { Explain } from "../../ui/parts";
import { Check, Choice, Field, Quantity, Several } from "../parts";
import { Spend, STEPS } from "../spend";
import type { Outset } from "./contract";
import { MOST_ATTEMPTS, columnsAs, published, whole, type Draft, type Method, type Repair, type Wish } from "./plan";
import { METHODS, percent } from "./words";

/** Where the form stands on the page. */
export const METHOD = "method";

/** How a release comes about: asked for by its purpose, or chosen by hand. */
export type Mode = "best" | Draft["way"];

const MODES: readonly (readonly [Mode, string])[] = [
  ["best", "Best for a purpose"],
  ["anonymise", "Anonymise"],
  ["synthesise", "Synthesise"],
];

interface FormProps {
  outset: Outset;
  draft: Draft;
  onChange: (draft: Draft) => void;
}

export function MethodForm({
  mode,
  onMode,
  wish,
  onWish,
  ...form
}: FormProps & { mode: Mode; onMode: (mode: Mode) => void; wish: Wish; onWish: (wish: Wish) => void }) {
  return (
    <section className="panel" aria-label="Method" id={METHOD} tabIndex={-1}>
      <div className="section-head">
        <h2>Method</h2>
        <div className="toggle" role="group" aria-label="How the release is made">
          {MODES.map(([one, name]) => (
            <Button
              key={one}
              className="quiet"
              data-selected={mode === one || undefined}
              aria-pressed={mode === one}
              onPress={() => onMode(one)}
            >
              {name}
            </Button>
          ))}
        </div>
      </div>
      {mode === "best" ? <Best {...form} wish={wish} onWish={onWish} /> : null}
      {mode === "anonymise" ? <Anonymise {...form} /> : null}
      {mode === "synthesise" ? <Synthesise {...form} /> : null}
      {mode === "best" ? null : (
        <>
          <Volume {...form} />
          <Unbias {...form} />
        </>
      )}
    </section>
  );
}

export function LeastScore({ draft, onChange }: Pick<FormProps, "draft" | "onChange">) {
  return (
    <Quantity
      label="Least score"
      value={draft.leastScore}
      least={0}
      most={100}
      hint="Below it, nothing is published."
      onChange={(leastScore) => onChange({ ...draft, leastScore })}
    />
  );
}

function Best({ draft, onChange, wish, onWish }: FormProps & { wish: Wish; onWish: (wish: Wish) => void }) {
  const targets = columnsAs(draft, "sensitive", "other");
  return (
    <>
      <p className="muted">
        Models are tried one after the other, from weak to strong: k, l, t, suppression, local recoding. Each is attacked.
        Of those that reach the score, the one that keeps the most is recommended.
      </p>
      <div className="row level">
        <Choice
          label="What the release is for"
          value={wish.purpose}
          options={[
            ["statistics", "Statistics"],
            ["train", "Training a model"],
          ]}
          onChange={(purpose) => onWish({ purpose, target: wish.target === "" ? (targets[0] ?? "") : wish.target })}
        />
        {wish.purpose === "train" ? (
          <Choice
            label="Column that the model predicts"
            value={targets.includes(wish.target) ? wish.target : ""}
            options={targets.map((column) => [column, column] as const)}
            onChange={(target) => onWish({ ...wish, target })}
          />
        ) : null}
        <LeastScore draft={draft} onChange={onChange} />
      </div>
      {wish.purpose === "train" && targets.length === 0 ? (
        <p className="muted">Each column is a quasi-identifier or left out. The one to be predicted has to be sensitive or other.</p>
      ) : null}
    </>
  );
}

const NONE = "none";
const DIVERSITIES = [2, 3, 4, 5];
const CLOSENESS = [0.5, 0.4, 0.3, 0.2, 0.15, 0.1];
const SUPPRESSIONS = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

/** The values of a list, and the one that stands there now where the list has it not. */
const withNow = (list: number[], now: number | null): number[] =>
  now === null || list.includes(now) ? list : [...list, now].sort((a, b) => a - b);

function Anonymise({ draft, onChange }: FormProps) {
  const hasSensitive = columnsAs(draft, "sensitive").length > 0;
  return (
    <>
      <div className="row level">
        <Quantity label="Group size k" value={draft.k} least={1} most={1000} onChange={(k) => onChange({ ...draft, k })} />
        <Choice
          label="Diversity l"
          value={draft.l === null ? NONE : String(draft.l)}
          options={[
            [NONE, "not asked for"],
            ...withNow(DIVERSITIES, draft.l).map((l) => [String(l), `${l} different values`] as const),
          ]}
          isDisabled={!hasSensitive && draft.l === null}
          onChange={(l) => onChange({ ...draft, l: l === NONE ? null : Number(l) })}
        />
        <Choice
          label="Closeness t"
          value={draft.t === null ? NONE : String(draft.t)}
          options={[
            [NONE, "not asked for"],
            ...withNow(CLOSENESS, draft.t).map((t) => [String(t), `within ${t}`] as const),
          ]}
          isDisabled={!hasSensitive && draft.t === null}
          onChange={(t) => onChange({ ...draft, t: t === NONE ? null : Number(t) })}
        />
      </div>
      <div className="row level">
        <Choice
          label="Recoding"
          value={draft.local ? "local" : "full"}
          options={[
            ["full", "The same levels for all records"],
            ["local", "Levels of its own for each group"],
          ]}
          onChange={(recoding) => onChange({ ...draft, local: recoding === "local" })}
        />
        {draft.local ? null : (
          <Choice
            label="Suppression, at most"
            value={String(draft.suppression)}
            options={withNow(SUPPRESSIONS, draft.suppression).map(
              (share) => [String(share), share === 0 ? "no record" : `${percent(share)} of the records`] as const,
            )}
            onChange={(share) => onChange({ ...draft, suppression: Number(share) })}
          />
        )}
        <LeastScore draft={draft} onChange={onChange} />
      </div>
      <Check isSelected={draft.adjusts} onChange={(adjusts) => onChange({ ...draft, adjusts })}>
        Tighten k, l and t until the score is met, in {MOST_ATTEMPTS} attempts at most
      </Check>
      <p>
        <Explain word="What k, l, t and suppression mean">
          <dl className="roles">
            <div>
              <dt>k-anonymity</dt>
              <dd>Each released record is alike to at least k − 1 others in the quasi-identifiers. Nobody is singled out by them.</dd>
            </div>
            <div>
              <dt>l-diversity</dt>
              <dd>
                Each group of alike records has at least l different values of each sensitive column, so that knowing
                somebody&rsquo;s group does not tell the value.
              </dd>
            </div>
            <div>
              <dt>t-closeness</dt>
              <dd>
                In each group the sensitive values are distributed as in the whole table, within t: 0 would be the same, 1
                is anything.
              </dd>
            </div>
            <div>
              <dt>Suppression</dt>
              <dd>Records that fit into no group are left out, so that the others can stay finer.</dd>
            </div>
            <div>
              <dt>Recoding</dt>
              <dd>
                Values become coarser: an age becomes a range. With the same levels for all, a column is as coarse for each
                record; local recoding keeps more, and analysts have to cope with ranges of different width.
              </dd>
            </div>
          </dl>
        </Explain>
      </p>
    </>
  );
}

function Synthesise({ outset, draft, onChange }: FormProps) {
  const at = STEPS.indexOf(draft.epsilon);
  return (
    <>
      <p className="muted">
        New records are drawn from a model of the old ones. What the model learns of any one person is bounded by ε, proved,
        and whoever attacks it.
      </p>
      <Choice
        label="Model"
        value={draft.method}
        options={METHODS}
        onChange={(method: Method) => onChange({ ...draft, method })}
      />
      <Spend
        step={at < 0 ? STEPS.findIndex((step) => step >= draft.epsilon) : at}
        onStep={(step) => onChange({ ...draft, epsilon: STEPS[step] ?? draft.epsilon })}
      />
      <div className="row level">
        <Field
          label="Synthetic records"
          type="number"
          required={false}
          value={draft.rows === null ? "" : String(draft.rows)}
          hint={`Nothing: as many as there are, counted with noise. There are ${count(outset.rows)} records.`}
          onChange={(text) => onChange({ ...draft, rows: whole(text) })}
        />
        <LeastScore draft={draft} onChange={onChange} />
      </div>
    </>
  );
}

function Option({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Disclosure className="option">
      <Heading level={3}>
        <Button slot="trigger" className="quiet">
          <span aria-hidden="true" className="arrow">
            ▸
          </span>{" "}
          {title}
        </Button>
      </Heading>
      <DisclosurePanel className="inside">{children}</DisclosurePanel>
    </Disclosure>
  );
}

function Volume({ draft, onChange }: FormProps) {
  const { volume } = draft;
  const columns = published(draft);
  const begin = () => ({ target: columnsAs(draft, "sensitive", "other")[0] ?? columns[0] ?? "", gain: 0.002, leastPerClass: 100 });
  return (
    <Option title={`Large enough to train on? ${volume === null ? "Not asked" : `For ${volume.target}`}`}>
      <Check
        isSelected={volume !== null}
        onChange={(asks) => onChange({ ...draft, volume: asks ? begin() : null, augmentTo: asks ? draft.augmentTo : null })}
      >
        Judge the release by a learning curve
      </Check>
      {volume === null ? null : (
        <>
          <div className="row level">
            <Choice
              label="Column that is predicted"
              value={volume.target}
              options={columns.map((column) => [column, column] as const)}
              onChange={(target) => onChange({ ...draft, volume: { ...volume, target } })}
            />
            <Quantity
              label="Records of each class"
              value={volume.leastPerClass}
              least={1}
              most={10_000_000}
              hint="At least."
              onChange={(leastPerClass) => onChange({ ...draft, volume: { ...volume, leastPerClass } })}
            />
          </div>
          <p className="muted note">
            It is enough when twice as many records would gain less than {volume.gain} in balanced accuracy, and each class
            has its records.
          </p>
          <Check
            isSelected={draft.augmentTo !== null}
            onChange={(fills) => onChange({ ...draft, augmentTo: fills ? 10_000 : null })}
          >
            Where it is not enough, add synthetic records
          </Check>
          {draft.augmentTo === null ? null : (
            <Quantity
              label="Records in all"
              value={draft.augmentTo}
              least={1}
              most={10_000_000}
              hint="Drawn from what would be published anyway, and marked. They tell nothing more of anybody."
              onChange={(augmentTo) => onChange({ ...draft, augmentTo })}
            />
          )}
        </>
      )}
    </Option>
  );
}

const REPAIRS: readonly (readonly [Repair, string])[] = [
  ["reweigh", "Weights: a column that makes the outcome independent of the group"],
  ["repair", "Repair: numbers are moved until they do not tell the group"],
];

function Unbias({ outset, draft, onChange }: FormProps) {
  const { unbias } = draft;
  const columns = published(draft);
  const domain = outset.columns.find(({ name }) => name === unbias?.column)?.domain;
  return (
    <Option title={`Bias between groups? ${unbias === null ? "Left as it is" : "Mended"}`}>
      <Check
        isSelected={unbias !== null}
        onChange={(mends) =>
          onChange({ ...draft, unbias: mends ? { by: [], column: "", value: "", method: "reweigh" } : null })
        }
      >
        Mend it before publishing
      </Check>
      {unbias === null ? null : (
        <>
          <Several
            label="Nobody should fare worse by"
            value={unbias.by}
            // One that has left the release since can still be taken away here.
            options={[...columns, ...unbias.by.filter((one) => !columns.includes(one))]}
            onChange={(by) => onChange({ ...draft, unbias: { ...unbias, by } })}
          />
          <div className="row level">
            <Choice
              label="Outcome"
              value={unbias.column}
              options={columns.map((column) => [column, column] as const)}
              onChange={(column) => onChange({ ...draft, unbias: { ...unbias, column, value: "" } })}
            />
            {domain?.kind === "category" ? (
              <Choice
                label="Good for a person"
                value={unbias.value}
                options={domain.values.map((value) => [value, value] as const)}
                onChange={(value) => onChange({ ...draft, unbias: { ...unbias, value } })}
              />
            ) : (
              <Field
                label="Good for a person"
                value={unbias.value}
                required={false}
                hint="The value of the outcome."
                onChange={(value) => onChange({ ...draft, unbias: { ...unbias, value } })}
              />
            )}
          </div>
          <Choice
            label="How"
            value={unbias.method}
            options={REPAIRS}
            onChange={(method) => onChange({ ...draft, unbias: { ...unbias, method } })}
          />
        </>
      )}
    </Option>
  );
}
