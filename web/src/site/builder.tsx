import { Button } from "react-aria-components";

import type { ColumnKind, Profile } from "./api";
import { Choice, Field, Quantity } from "./parts";
import { MEASURES, comparisons, fitting, kindOf, takesNumber, takesSecond, type Built, type Condition, type Measure } from "./question";

/** A question by mouse or keyboard; only what the dataset can answer is offered. */
export function Builder({
  built,
  profile,
  onChange,
}: {
  built: Built;
  profile: Profile;
  onChange: (built: Built) => void;
}) {
  const columns = fitting(built.measure, profile);
  const options = columns.map((name) => [name, name] as const);
  const offered = MEASURES.filter(([measure]) => {
    const free = measure === "count" || measure === "distinct-units";
    const needed = measure === "linear-regression" ? 2 : 1;
    return free || fitting(measure, profile).length >= needed;
  });
  const measure = (measure: Measure) => {
    const fits = fitting(measure, profile);
    const column = fits.includes(built.column) ? built.column : (fits[0] ?? "");
    const second = measure === "linear-regression" ? (fits.find((one) => one !== column) ?? "") : "";
    onChange({ ...built, measure, column, second, number: measure === "top-k" ? 5 : 10 });
  };
  const conditions = (conditions: Condition[]) => onChange({ ...built, conditions });
  return (
    <div className="builder">
      <div className="row">
        <Choice label="What" value={built.measure} options={offered.map(([id, name]) => [id, id === "distinct-units" ? `Number of ${profile.unit}s` : name] as const)} onChange={measure} />
        {columns.length === 0 ? null : (
          <Choice
            label={built.measure === "linear-regression" ? "Explained" : "Column"}
            value={built.column}
            options={options}
            onChange={(column) => onChange({ ...built, column, second: built.second === column ? "" : built.second })}
          />
        )}
        {takesSecond(built.measure) ? (
          <Choice
            label={built.measure === "linear-regression" ? "Explaining" : "And by"}
            value={built.second === "" && built.measure === "grouped-count" ? "-" : built.second}
            options={[
              ...(built.measure === "grouped-count" ? ([["-", "nothing more"]] as const) : []),
              ...options.filter(([name]) => name !== built.column),
            ]}
            onChange={(second) => onChange({ ...built, second: second === "-" ? "" : second })}
          />
        ) : null}
        {takesNumber(built.measure) ? (
          <Quantity
            label={built.measure === "histogram" ? "Bins" : "Groups"}
            value={built.number}
            least={1}
            most={200}
            onChange={(number) => onChange({ ...built, number })}
          />
        ) : null}
      </div>
      <fieldset>
        <legend>Of which rows</legend>
        {built.conditions.length === 0 ? <p className="muted">Of all rows.</p> : null}
        {built.conditions.map((one, at) => (
          <ConditionRow
            key={at}
            one={one}
            profile={profile}
            onChange={(changed) => conditions(built.conditions.map((old, place) => (place === at ? changed : old)))}
            onRemove={() => conditions(built.conditions.filter((_, place) => place !== at))}
          />
        ))}
        <Button
          onPress={() => {
            const column = Object.keys(profile.columns)[0] ?? "";
            const [[is] = ["="]] = comparisons(kindOf(profile.columns[column]));
            conditions([...built.conditions, { column, is: is as Condition["is"], value: first(profile.columns[column]) }]);
          }}
        >
          Add a condition
        </Button>
      </fieldset>
    </div>
  );
}

/** A value that fits a column, for the beginning. */
function first(column: ColumnKind | undefined): string {
  return column !== undefined && column !== "open" && "category" in column ? (column.category[0] ?? "") : "";
}

/** The range in which a column's values lie, in words. */
function range(column: ColumnKind | undefined): string | undefined {
  if (column === undefined || column === "open" || "category" in column) return undefined;
  const [low, high, decimals] = "number" in column ? column.number : column.instant;
  if ("instant" in column) {
    const day = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 10);
    return `${day(low)} to ${day(high)}`;
  }
  return `${low / 10 ** decimals} to ${high / 10 ** decimals}`;
}

function ConditionRow({
  one,
  profile,
  onChange,
  onRemove,
}: {
  one: Condition;
  profile: Profile;
  onChange: (one: Condition) => void;
  onRemove: () => void;
}) {
  const column = profile.columns[one.column];
  const kind = kindOf(column);
  const isValued = one.is !== "null" && one.is !== "not-null";
  const pick = (name: string) => {
    const [[is] = ["="]] = comparisons(kindOf(profile.columns[name]));
    onChange({ column: name, is: is as Condition["is"], value: first(profile.columns[name]) });
  };
  const domain = column !== undefined && column !== "open" && "category" in column ? column.category : null;
  return (
    <div className="row condition">
      <Choice label="Column" value={one.column} options={Object.keys(profile.columns).map((name) => [name, name] as const)} onChange={pick} />
      <Choice label="How" value={one.is} options={comparisons(kind)} onChange={(is) => onChange({ ...one, is })} />
      {!isValued ? null : domain !== null ? (
        <Choice label="Value" value={one.value} options={domain.map((value) => [value, value] as const)} onChange={(value) => onChange({ ...one, value })} />
      ) : (
        <Field
          label={kind === "instant" ? "Day" : "Value"}
          value={one.value}
          onChange={(value) => onChange({ ...one, value })}
          hint={range(column)}
        />
      )}
      <Button className="quiet" aria-label={`Remove the condition on ${one.column}`} onPress={onRemove}>
        Remove
      </Button>
    </div>
  );
}
