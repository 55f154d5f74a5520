import { Explain, Table } from "../../ui/parts";
import type { AttackLine } from "./contract";
import { attackMeaning, attackName, percent } from "./words";

/** Ends of the axis: the first that holds everything. */
const ENDS = [0.05, 0.1, 0.15, 0.25, 0.5, 1];

/** An attack that ran. */
interface Ran {
  key: string;
  attack: string;
  name: string;
  risk: number;
  low: number;
  high: number;
  attempts: number;
  successes: number;
  control: number;
}

const keyOf = ({ attack, secret }: AttackLine) => `${attack} ${secret ?? ""}`;

function ran(line: AttackLine): Ran[] {
  const { attack, risk, interval, attempts, successes, control_successes: control } = line;
  const [low, high] = interval ?? [];
  if (risk == null || low === undefined || high === undefined) return [];
  return [
    {
      key: keyOf(line),
      attack,
      name: attackName(line),
      risk,
      low,
      high,
      attempts: attempts ?? 0,
      successes: successes ?? 0,
      control: control ?? 0,
    },
  ];
}

/**
 * What each attack achieved, with its interval, below each other on one axis; before and after where
 * there are both. The strongest stands first.
 */
export function Forest({
  label,
  before,
  after = null,
  least,
}: {
  label: string;
  before: AttackLine[];
  after?: AttackLine[] | null;
  /** The score that is asked for: risk beyond its line fails it. */
  least: number;
}) {
  const now = after ?? before;
  const shown = now.flatMap(ran).sort((a, b) => b.high - a.high);
  const others = after === null ? [] : before.flatMap(ran);
  const left = now.filter((line) => ran(line).length === 0);
  const most = Math.max(0, ...[...shown, ...others].map((line) => line.high));
  const limit = 1 - least / 100;
  const end = ENDS.find((one) => one >= most && one >= Math.min(limit, 1)) ?? 1;
  const place = (risk: number) => `${(100 * Math.min(risk, end)) / end}%`;
  return (
    <>
      <Table label={label}>
        <caption className="hidden">{label}</caption>
        <thead>
          <tr>
            <th scope="col">Attack</th>
            <th scope="col">
              <Explain word="People exposed by being in the data">
                <p>
                  How much more often the attack succeeds on people of the data than on people who are not in it (the
                  control), as a share of what it could gain: (rate − control) / (1 − control). The line is the interval
                  that holds jointly over all attacks in 95 of 100 cases; the score counts its upper end.
                </p>
              </Explain>
              <span className="axis" aria-hidden="true">
                <span>0</span>
                <span>{percent(end / 2)}</span>
                <span>{percent(end)}</span>
              </span>
            </th>
            <th scope="col" className="right">
              Interval
            </th>
            <th scope="col" className="right">
              Succeeded
            </th>
            <th scope="col" className="right">
              Control
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map((line) => {
            const earlier = others.find((one) => one.key === line.key);
            const fails = line.high > limit;
            return (
              <tr key={line.key}>
                <th scope="row">
                  <Explain word={line.name}>
                    <p>{attackMeaning(line.attack)}</p>
                  </Explain>
                </th>
                <td className="forest">
                  <span className="plot" aria-hidden="true">
                    {limit < end ? <i className="limit" style={{ left: place(limit) }} /> : null}
                    {earlier === undefined ? null : <Mark line={earlier} place={place} kind="earlier" />}
                    <Mark line={line} place={place} kind={fails ? "fails" : ""} />
                  </span>
                </td>
                <td className={`right figure nowrap${fails ? " refused" : ""}`}>
                  {percent(line.low)} to {percent(line.high)}
                  {earlier === undefined ? null : (
                    <small className="muted below">
                      before {percent(earlier.low)} to {percent(earlier.high)}
                    </small>
                  )}
                </td>
                <td className="right figure nowrap">
                  {line.successes.toLocaleString("en-GB")} of {line.attempts.toLocaleString("en-GB")}
                </td>
                <td className="right figure">{line.control.toLocaleString("en-GB")}</td>
              </tr>
            );
          })}
        </tbody>
      </Table>
      <p className="muted note legend-line">
        {after === null ? null : (
          <>
            <i className="sample earlier" aria-hidden="true" /> before <i className="sample" aria-hidden="true" /> after.{" "}
          </>
        )}
        {limit < end ? (
          <>
            <i className="sample limit" aria-hidden="true" /> The dashed line is where a score of {least} ends: an interval
            that reaches beyond it fails.{" "}
          </>
        ) : null}
        Each attack was tried on people of one half of the records, and as often on people of the other half, who were left
        out: its control.
      </p>
      {left.length === 0 ? null : (
        <details className="not-run">
          <summary>
            {left.length} {left.length === 1 ? "attack" : "attacks"} could not be run
          </summary>
          <ul>
            {left.map((line) => (
              <li key={keyOf(line)}>
                {attackName(line)}: <span className="muted">{line.not_run}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

function Mark({ line, place, kind }: { line: Ran; place: (risk: number) => string; kind: string }) {
  const { risk, low, high } = line;
  return (
    <>
      <i className={`range ${kind}`} style={{ left: place(low), right: `calc(100% - ${place(high)})` }} />
      <i className={`point ${kind}`} style={{ left: place(risk) }} />
    </>
  );
}
