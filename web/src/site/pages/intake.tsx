import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { ago, count } from "../../ui/format";
import { Count, Explain, Page, Section, Table, Time } from "../../ui/parts";
import { Answer } from "../../ui/states";
import { intake, type Arrival, type FollowedSource, type Intake, type Way } from "../api";
import { size } from "../size";

const WAYS: Record<Way, string> = {
  tables: "tables of files",
  fhir: "FHIR",
  devices: "device reports",
};

export const wayWords = (way: Way) => WAYS[way];

export function IntakePage() {
  const query = useQuery(intake);
  return (
    <Page
      title="Intake"
      lead="What came into the lake, when and by which way. Here are numbers; records are read under a role, by SQL."
    >
      <Answer query={query} lines={10}>
        {(data) => (
          <>
            {data.locked.length === 0 ? null : (
              <ul className="warnings">
                {data.locked.map((dataset) => (
                  <li key={dataset}>{dataset} does not open: what came into it is not known here.</li>
                ))}
              </ul>
            )}
            <Sources data={data} />
            <Ways data={data} />
            <Latest data={data} />
          </>
        )}
      </Answer>
    </Page>
  );
}

function Sources({ data }: { data: Intake }) {
  return (
    <Section title="FHIR servers that are pulled from">
      {data.sources.length === 0 ? (
        <div className="state" role="status">
          <p>
            None. The node keeps up with each <code>[[fhir.source]]</code> of salus.toml; files come in by{" "}
            <code>salus import --fhir</code>.
          </p>
        </div>
      ) : (
        <Table label="FHIR servers">
          <thead>
            <tr>
              <th scope="col">Source</th>
              <th scope="col">State</th>
              <th scope="col">Last whole pull</th>
              <th scope="col" className="right">
                Accepted
              </th>
              <th scope="col" className="right">
                Deleted
              </th>
              <th scope="col" className="right">
                Refused
              </th>
              <th scope="col">How often</th>
            </tr>
          </thead>
          <tbody>
            {data.sources.map((one) => (
              <Source key={one.name} one={one} now={data.at} />
            ))}
          </tbody>
        </Table>
      )}
    </Section>
  );
}

function Source({ one, now }: { one: FollowedSource; now: string }) {
  const { last, trouble } = one;
  return (
    <tr>
      <th scope="row">
        {one.name}
        <small className="muted under">{one.url}</small>
      </th>
      <td>
        {trouble !== null ? (
          <>
            <span className="refused">
              {trouble.given_up
                ? "given up"
                : `failed ${trouble.times === 1 ? "once" : `${count(trouble.times)} times`}, tried again`}
            </span>
            <small className="under">
              {trouble.said} (<Time value={trouble.at} />)
            </small>
          </>
        ) : last === null ? (
          <span className="muted">first pull under way</span>
        ) : (
          "up to date"
        )}
      </td>
      <td>{last === null ? <span className="muted">none since the node began</span> : ago(last.at, now)}</td>
      <td className="right">{last === null ? "–" : <Count value={last.accepted} />}</td>
      <td className="right">{last === null ? "–" : <Count value={last.deleted} />}</td>
      <td className={`right${last !== null && last.quarantined > 0 ? " refused" : ""}`}>
        {last === null ? "–" : <Count value={last.quarantined} />}
      </td>
      <td>
        every {count(one.every_seconds)} s{one.subscribed ? ", and when told" : ""}
      </td>
    </tr>
  );
}

interface Flow {
  dataset: string;
  way: Way;
  newest: string;
  /** Rows that came in, and for how long they did, in hours. */
  rows: number;
  hours: number;
  refused: number;
}

/** What the told arrivals come to, by dataset, the last one that got something first. */
function flows(arrivals: Arrival[]): Flow[] {
  const byDataset = new Map<string, Arrival[]>();
  for (const one of arrivals) {
    byDataset.set(one.dataset, [...(byDataset.get(one.dataset) ?? []), one]);
  }
  return [...byDataset.values()].flatMap((all) => {
    const taken = all.filter((one) => !one.refused);
    const [newest, oldest] = [all[0], taken[taken.length - 1]];
    if (newest === undefined) return [];
    const more = (lines: Arrival[]) => lines.reduce((sum, one) => sum + Math.max(0, one.change ?? 0), 0);
    // The oldest arrival came before the time between it and the newest began.
    const since = taken.slice(0, -1);
    const hours = oldest === undefined ? 0 : (Date.parse(taken[0]?.at ?? "") - Date.parse(oldest.at)) / 3_600_000;
    const refused = more(all.filter((one) => one.refused));
    return [{ dataset: newest.dataset, way: newest.way, newest: newest.at, rows: more(since), hours, refused }];
  });
}

function rate({ rows, hours }: Flow): string {
  // What came at once says nothing of how it goes on.
  if (hours < 1 / 60) return "–";
  const hourly = rows / hours;
  return hourly >= 1 ? `${count(Math.round(hourly))} an hour` : rows === 0 ? "none" : "under one an hour";
}

function Ways({ data }: { data: Intake }) {
  const found = flows(data.arrivals);
  if (found.length === 0) {
    return (
      <Section title="By dataset">
        <div className="state" role="status">
          <p>
            Nothing has come in. Files do by <code>salus import FILE --schema SCHEMA</code>, device reports by{" "}
            <code>salus collect run</code>.
          </p>
        </div>
      </Section>
    );
  }
  return (
    <Section title="By dataset">
      <Table label="By dataset">
        <thead>
          <tr>
            <th scope="col">Dataset</th>
            <th scope="col">Way</th>
            <th scope="col">Last new version</th>
            <th scope="col" className="right">
              <Explain word="Rate">
                <p>
                  New rows between the versions below, by the time from the first to the last of them.
                  Rows that replace others count; merging files brings none. None is told for less than a
                  minute.
                </p>
              </Explain>
            </th>
            <th scope="col" className="right">
              <Explain word="Refused">
                <p>Records of the versions below that went into quarantine. Each dataset&rsquo;s page says why.</p>
              </Explain>
            </th>
          </tr>
        </thead>
        <tbody>
          {found.map((flow) => (
            <tr key={flow.dataset}>
              <th scope="row">
                <HoldingLink dataset={flow.dataset} />
              </th>
              <td>{WAYS[flow.way]}</td>
              <td className="nowrap">
                <time dateTime={flow.newest} title={flow.newest}>
                  {ago(flow.newest, data.at)}
                </time>
              </td>
              <td className="right figure nowrap">{rate(flow)}</td>
              <td className={`right${flow.refused > 0 ? " refused" : ""}`}>
                <Count value={flow.refused} />
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Section>
  );
}

export function HoldingLink({ dataset }: { dataset: string }) {
  return (
    <Link to="/holdings/$dataset" params={{ dataset }}>
      {dataset}
    </Link>
  );
}

function Latest({ data }: { data: Intake }) {
  // A dataset is made with a version that has no row.
  const arrivals = data.arrivals.filter((one) => one.change !== 0);
  if (arrivals.length === 0) return null;
  return (
    <Section title="Latest versions">
      <Table label="Latest versions">
        <thead>
          <tr>
            <th scope="col">Written, UTC</th>
            <th scope="col">Dataset</th>
            <th scope="col" className="right">
              Version
            </th>
            <th scope="col" className="right">
              Rows
            </th>
            <th scope="col" className="right">
              Size now
            </th>
          </tr>
        </thead>
        <tbody>
          {arrivals.map((one) => (
            <tr key={`${one.dataset} ${one.refused} ${one.version}`}>
              <th scope="row">
                <Time value={one.at} />
              </th>
              <td>
                <HoldingLink dataset={one.dataset} />
                {one.refused ? <span className="refused"> refused</span> : null}
              </td>
              <td className="right">
                <Count value={one.version} />
              </td>
              <td className="right figure nowrap">{change(one.change)}</td>
              <td className="right figure nowrap">{size(one.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Section>
  );
}

/** How many rows a version has more than the one before. */
export function change(rows: number | null): string {
  if (rows === null) return "–";
  if (rows === 0) return "none new";
  return rows > 0 ? `+${count(rows)}` : `−${count(-rows)}, merged`;
}
