import type { ReactNode } from "react";

import { Explain, Table } from "../../ui/parts";
import { Choice } from "../parts";
import type { Assessed, Domain, Outset } from "./contract";
import { isClosed } from "./draft";
import type { Draft, Treatment } from "./plan";
import { percent, ROLES } from "./words";

const NUMBER = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 6 });

/** What is publicly known of a column's values. */
function domainWords(domain: Domain): ReactNode {
  switch (domain.kind) {
    case "number":
      return `${NUMBER.format(domain.low)} to ${NUMBER.format(domain.high)}`;
    case "instant":
      return (
        <>
          <span className="nowrap">{domain.low.slice(0, 10)}</span> to <span className="nowrap">{domain.high.slice(0, 10)}</span>
        </>
      );
    case "category":
      return domain.values.length > 4
        ? `${domain.values.slice(0, 3).join(", ")} and ${domain.values.length - 3} more`
        : domain.values.join(", ");
    case "open":
      return "open";
    case "none":
      return "not stated";
  }
}

/** Why a column of a class is never in a release. */
const CLOSED: Record<string, string> = {
  identifiers: "names a person; is not read, and not released",
  freetext: "narrative text, which can hold anything; is not read, and not released",
  signal: "a series of measurements; is not read, and not released",
  footer: "is not read, and not released",
};

/** What each column is, what it could tell, and what happens to it. */
export function Columns({
  outset,
  assessed,
  draft,
  onChange,
}: {
  outset: Outset;
  assessed: Assessed | null;
  draft: Draft;
  onChange: (draft: Draft) => void;
}) {
  const set = (column: string, treatment: Treatment) =>
    onChange({ ...draft, treatments: { ...draft.treatments, [column]: treatment } });
  return (
    <Table label="Columns">
      <thead>
        <tr>
          <th scope="col">
            <Explain word="Column">
              <p>Below each name: what the column holds, and under which class of keys it is encrypted.</p>
            </Explain>
          </th>
          <th scope="col">
            <Explain word="Role">
              <dl className="roles">
                {ROLES.map(([role, name, meaning]) => (
                  <div key={role}>
                    <dt>{name}</dt>
                    <dd>{meaning}</dd>
                  </div>
                ))}
              </dl>
            </Explain>
          </th>
          <th scope="col" className="right">
            <Explain word="Different values">
              <p>
                And what share of the records that is: a column in which nearly each record has a value of its own tells
                everybody apart.
              </p>
            </Explain>
          </th>
          <th scope="col">
            <Explain word="Public domain">
              <p>
                What privacy.toml states of the column&rsquo;s values. Synthesis needs it: finding the values from the
                records would tell something of them.
              </p>
            </Explain>
          </th>
        </tr>
      </thead>
      <tbody>
        {outset.columns.map((column) => {
          const suggested = assessed?.roles.find((one) => one.column === column.name);
          const treatment = draft.treatments[column.name] ?? "left-out";
          return (
            <tr key={column.name} className={treatment === "left-out" || treatment === "identifier" ? "muted" : undefined}>
              <th scope="row">
                <code>{column.name}</code>
                <small className="muted below">
                  {column.kind}
                  {column.key_class === null ? "" : `, ${column.key_class}`}
                </small>
              </th>
              <td className="role">
                {column.name === outset.person ? (
                  "Identifier"
                ) : isClosed(column) ? (
                  <span className="muted">{column.key_class === "identifiers" ? "Identifier" : "Left out"}</span>
                ) : column.readable ? (
                  <Choice
                    label={`Role of ${column.name}`}
                    hideLabel
                    value={treatment}
                    options={ROLES.map(([role, name]) => [role, name] as const)}
                    onChange={(role) => set(column.name, role)}
                  />
                ) : (
                  <span className="muted">Left out</span>
                )}
                {column.name === outset.person ? (
                  <small className="muted below">says whose a record is, and is never published</small>
                ) : isClosed(column) ? (
                  <small className="muted below">{CLOSED[column.key_class ?? ""]}</small>
                ) : !column.readable ? (
                  <small className="muted below">not read by stewards</small>
                ) : suggested === undefined ? (
                  column.key_class === null && treatment === "left-out" ? (
                    <small className="muted below">has a key of its own: left out until you choose</small>
                  ) : null
                ) : (
                  <small className="muted below">
                    {suggested.role === treatment ? "as suggested" : `suggested: ${roleName(suggested.role)}`}: {suggested.why}
                  </small>
                )}
              </td>
              <td className="right figure nowrap">
                {suggested?.distinct == null || suggested.distinction == null ? (
                  <span className="muted">–</span>
                ) : (
                  <>
                    {suggested.distinct.toLocaleString("en-GB")}
                    <small className="muted below">{percent(suggested.distinction)}</small>
                  </>
                )}
              </td>
              <td>
                {column.domain.kind === "open" || column.domain.kind === "none" ? (
                  <span className="muted">{domainWords(column.domain)}</span>
                ) : (
                  <small>{domainWords(column.domain)}</small>
                )}
              </td>
            </tr>
          );
        })}
      </tbody>
    </Table>
  );
}

const roleName = (role: string): string => ROLES.find(([one]) => one === role)?.[1].toLowerCase() ?? role;
