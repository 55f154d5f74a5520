import { count } from "../../ui/format";
import { Explain, Table } from "../../ui/parts";
import { number as figure } from "../answer";
import type { Bias, Report, Volume } from "./contract";
import { percent, score } from "./words";

type Row = [name: string, before: string, after: string, meaning?: string];

const dash = "–";

/** The release beside the records as they are. */
export function Comparison({ report, label }: { report: Report; label: string }) {
  const { assessment, anonymised, synthesised, augmented } = report;
  const rows: Row[] = [
    ["Score", shown(assessment.score), shown(report.score)],
    ["Records", count(assessment.records), count(report.records)],
  ];
  if (anonymised != null) {
    rows.push(
      [
        "Average risk",
        percent(assessment.average_risk),
        percent(anonymised.average_risk),
        "The mean over records of 1 / group size, where a group is all records alike in the quasi-identifiers.",
      ],
      [
        "Smallest group",
        assessment.sample_unique > 0 ? "1" : dash,
        count(anonymised.smallest_group),
        "How many records the rarest combination of quasi-identifiers has.",
      ],
      ["Records that are unique", percent(assessment.sample_unique), anonymised.smallest_group > 1 ? "0 %" : dash],
      ["Suppressed", dash, count(anonymised.suppressed)],
      [
        "Granularity",
        "1",
        anonymised.granularity.toFixed(3),
        "How fine the published values still are: 1 is untouched.",
      ],
      ["Information lost", "0 %", percent(anonymised.loss)],
    );
  }
  if (synthesised != null) {
    rows.push([
      "Quality",
      "1",
      synthesised.quality.toFixed(3),
      "How alike the synthetic records are to the real ones in single columns and pairs: 1 is alike.",
    ]);
  }
  if (augmented != null) rows.push(["Of them synthetic", "0", count(augmented.added)]);
  const accuracy = (volume: Volume | null | undefined) => {
    const last = volume?.curve[volume.curve.length - 1];
    return last === undefined ? dash : percent(last.accuracy);
  };
  if (assessment.volume != null || report.volume != null) {
    rows.push([
      "Balanced accuracy",
      accuracy(assessment.volume),
      accuracy(report.volume),
      "How well a model that is trained on the records recognises the column to be predicted: the mean over its classes.",
    ]);
  }
  if (report.unbiased != null) {
    const { before, after } = report.unbiased;
    rows.push(
      [
        "Disparate impact",
        figure(before.disparate_impact),
        figure(after.disparate_impact),
        "The least rate of the good outcome over the greatest, between groups: 1 is fair, 0.8 the usual limit.",
      ],
      ["Statistical parity", figure(before.statistical_parity), figure(after.statistical_parity), "The difference of these rates: 0 is fair."],
    );
  }
  return (
    <div className="studio desk">
      <Table label={label}>
        <thead>
          <tr>
            <th scope="col">Figure</th>
            <th scope="col" className="right">
              As they are
            </th>
            <th scope="col" className="right">
              Released
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, before, after, meaning]) => (
            <tr key={name}>
              <th scope="row">
                {meaning === undefined ? (
                  name
                ) : (
                  <Explain word={name}>
                    <p>{meaning}</p>
                  </Explain>
                )}
              </th>
              <td className="right figure">{before}</td>
              <td className="right figure">{after}</td>
            </tr>
          ))}
        </tbody>
      </Table>
      <Further report={report} />
    </div>
  );
}

const shown = (value: number | null): string => (value === null ? dash : score(value));

function Further({ report }: { report: Report }) {
  const { anonymised, enough, unbiased, notes } = report;
  const levels = Object.entries(anonymised?.levels ?? {});
  const said = [
    ...(levels.length === 0
      ? []
      : [`Levels of generalisation, 0 being untouched: ${levels.map(([column, level]) => `${column} ${level}`).join(", ")}.`]),
    ...(enough == null ? [] : [enough ? "It is large and varied enough for its purpose." : "It is not large or varied enough for its purpose."]),
    ...(unbiased == null ? [] : [groups(unbiased.before, unbiased.after)]),
    ...notes.map((note) => `${note.charAt(0).toUpperCase()}${note.slice(1)}${note.endsWith(".") ? "" : "."}`),
  ];
  if (said.length === 0) return null;
  return (
    <ul className="notes muted">
      {said.map((note) => (
        <li key={note}>{note}</li>
      ))}
    </ul>
  );
}

/** The rate of the good outcome by group, before and after. */
function groups(before: Bias, after: Bias): string {
  const rates = before.groups.map(({ group, favourable }) => {
    const later = after.groups.find((one) => one.group === group);
    return `${group} ${percent(favourable)}${later === undefined ? "" : ` → ${percent(later.favourable)}`}`;
  });
  return `The good outcome by group: ${rates.join(", ")}.`;
}
