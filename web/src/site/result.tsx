import { useMemo, useState } from "react";
import { Button, Menu, MenuItem, MenuTrigger, ToggleButton } from "react-aria-components";

import { ResultStrip } from "../ui/result-strip";
import { Over, Section, Table } from "../ui/parts";
import { useIsDark } from "../ui/theme";
import {
  biasWords,
  consistent,
  formOf,
  intervalWords,
  isInTime,
  isOrdered,
  keyTitle,
  number,
  regressionOf,
  rowName,
  toCsv,
  type AnswerRow,
  type Form,
  type Regression,
  type Shown,
} from "./answer";
import { DRAWS } from "./band";
import { asPng, asSvg, Chart } from "./chart";
import { fromHex } from "./key";
import { save } from "./parts";

function interval(row: AnswerRow): string {
  const e = row.estimate;
  return e === null ? "–" : `${number(e.lower)} to ${number(e.upper)}`;
}

/** An answer: the chart, the figures, and the strip that says what they rest on. */
export function ResultView({ shown }: { shown: Shown }) {
  const { answer, answered } = shown;
  const [wished, setLine] = useState<boolean | null>(null);
  const isDark = useIsDark();
  const form = formOf(answer);
  const canBeLine = isOrdered(answer) && form !== "points";
  const asLine = canBeLine && (wished ?? isInTime(answer));
  const line = useMemo(() => regressionOf(shown), [shown]);
  const [one] = answer.rows;
  const isDrowned = form === "single" ? one?.estimate == null : form === "regression" && line?.places == null;
  const drawn = { shown, form, asLine };
  const name = `answer-${answered.deal}`;
  const export_ = (kind: string) => {
    if (kind === "csv") save(`${name}.csv`, new Blob([toCsv(shown)], { type: "text/csv" }));
    if (kind === "svg") save(`${name}.svg`, new Blob([asSvg(drawn)], { type: "image/svg+xml" }));
    if (kind === "png") void asPng(drawn).then((picture) => save(`${name}.png`, picture));
    if (kind === "receipt") {
      save(`${answered.receipt.id}.cbor`, new Blob([fromHex(answered.receipt.file)], { type: "application/cbor" }));
    }
  };
  return (
    <Section
      title="Answer"
      aside={
        <span className="aside">
          {canBeLine ? (
            <ToggleButton className="quiet" isSelected={asLine} onChange={setLine}>
              As a line
            </ToggleButton>
          ) : null}
          <MenuTrigger>
            <Button>Export</Button>
            <Over className="popover list" placement="bottom end">
              <Menu onAction={(key) => export_(String(key))}>
                {isDrowned ? null : <MenuItem id="png">Picture (PNG)</MenuItem>}
                {isDrowned ? null : <MenuItem id="svg">Vectors (SVG)</MenuItem>}
                <MenuItem id="csv">Figures (CSV)</MenuItem>
                <MenuItem id="receipt">Receipt (CBOR)</MenuItem>
              </Menu>
            </Over>
          </MenuTrigger>
        </span>
      }
    >
      {isDrowned ? (
        <Drowned form={form} />
      ) : (
        <div className="panel">
          {form === "single" && one !== undefined ? <Single row={one} /> : null}
          <Chart drawn={drawn} isDark={isDark} label={chartLabel(shown, line)} />
          {line === null ? null : <Caption line={line} />}
        </div>
      )}
      <ResultStrip
        result={{
          permit: shown.permit,
          interval: one !== undefined && (form === "single" || answer.rows.length === 1) ? interval(one) : `${answer.rows.length} intervals, below`,
          spent: answered.repeated ? 0 : answered.epsilon_spent,
          left: answered.epsilon_left,
          receipt: { id: answered.receipt.id, transaction: answered.receipt.transaction },
        }}
      />
      {shown.followed === null ? null : (
        <p>
          Answer {shown.followed.series.length} of {number(shown.followed.terms.ticks)}, for one price.
        </p>
      )}
      <p className="muted">
        {answered.repeated ? "This answer was given before, and is repeated for nothing. " : ""}
        Intervals are {intervalWords(answer.interval)}. {biasWords(answer.bias)}
      </p>
      {answer.rows.length > 1 ? <Figures shown={shown} /> : null}
    </Section>
  );
}

function chartLabel({ answer }: Shown, line: Regression | null): string {
  if (line !== null) {
    return `The line of ${line.y} over ${line.x} with its 95 % band; the table below has slope and intercept`;
  }
  if (answer.rows.every((row) => row.key.length === 0)) return "The estimate on its scale, with its 95 % interval";
  return `Chart of ${answer.rows.length} estimates with 95 % intervals; the table below has the figures`;
}

function Caption({ line }: { line: Regression }) {
  return (
    <p className="note">
      The line explains {line.y} by {line.x} over the whole of its bounds. At each place, taken by
      itself, the exact line lies within the band in 95 of 100 answers: worked out here from{" "}
      {DRAWS.toLocaleString("en-GB")} simulated draws of the noise around the released moments, as slope and intercept have
      their intervals. Single rows lie farther from the line, by the root of their mean squared
      distance (rmse).
    </p>
  );
}

function Drowned({ form }: { form: Form }) {
  return (
    <div className="state" role="status">
      <h2>Drowned in the noise</h2>
      <p>
        {form === "regression"
          ? "The noise is as large as the spread of what explains, so that no line is defined. More ε or fewer conditions help."
          : "So few rows pass that the noise is larger than what would define the number."}
      </p>
    </div>
  );
}

function Single({ row }: { row: AnswerRow }) {
  const e = row.estimate;
  if (e === null) return null;
  return (
    <div className="single">
      <p className="figure">{number(e.value)}</p>
      <p className="muted">
        {row.name.replaceAll("_", " ")}; the exact number lies between <strong className="figure">{number(e.lower)}</strong> and{" "}
        <strong className="figure">{number(e.upper)}</strong> in 95 of 100 answers
      </p>
    </div>
  );
}

function Figures({ shown }: { shown: Shown }) {
  const { answer } = shown;
  const keyed = answer.rows.some((row) => row.key.length > 0);
  const several = keyed && new Set(answer.rows.map((row) => row.name)).size > 1;
  const [isWhole, setWhole] = useState(false);
  const whole = useMemo(() => (shown.followed === null ? consistent(answer) : null), [answer, shown.followed]);
  return (
    <>
    {whole === null ? null : (
      <p className="filters">
        <ToggleButton className="quiet" isSelected={isWhole} onChange={setWhole}>
          Whole counts that add up
        </ToggleButton>
        {isWhole ? (
          <span className="muted">None is negative. Worked out here, for nothing; biased where the noise is large.</span>
        ) : null}
      </p>
    )}
    <Table label="Estimates">
      <thead>
        <tr>
          <th scope="col">{keyTitle(shown)}</th>
          {several ? <th scope="col">What</th> : null}
          <th scope="col" className="right">
            Estimate
          </th>
          <th scope="col" className="right">
            95 % interval
          </th>
          <th scope="col" className="right">
            Standard error
          </th>
          {isWhole ? (
            <th scope="col" className="right">
              Whole count
            </th>
          ) : null}
        </tr>
      </thead>
      <tbody>
        {answer.rows.map((row, at) => (
          <tr key={at}>
            <th scope="row">{rowName(row, answer)}</th>
            {several ? <td>{row.name.replaceAll("_", " ")}</td> : null}
            <td className="right figure">{row.estimate === null ? "drowned" : number(row.estimate.value)}</td>
            <td className="right figure">{interval(row)}</td>
            <td className="right figure">{row.estimate?.standard_error == null ? "–" : number(row.estimate.standard_error)}</td>
            {isWhole ? <td className="right figure">{number(whole?.[at] ?? 0)}</td> : null}
          </tr>
        ))}
      </tbody>
    </Table>
    </>
  );
}
