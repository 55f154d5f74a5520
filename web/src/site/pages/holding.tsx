import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";

import { count } from "../../ui/format";
import { Count, DatasetLink, Explain, Facts, Page, Section, Table, Time } from "../../ui/parts";
import { Answer } from "../../ui/states";
import { holding, type HoldingDetail } from "../api";
import { useSession } from "../session";
import { size } from "../size";
import { change, wayWords } from "./intake";

/** One of the site's own datasets: what came in, what was refused and why, which keys protect it. */
export function HoldingPage() {
  const { dataset } = useParams({ from: "/holdings/$dataset" });
  const query = useQuery(holding(dataset));
  return (
    <Page title={dataset} lead="One of this site's own datasets. Counts are exact and leave it nowhere else.">
      <p className="neighbours">
        <Link to="/holdings">All datasets</Link>
        <Link to="/releases/$dataset" params={{ dataset }}>
          Release studio
        </Link>
      </p>
      <Answer query={query} lines={10}>
        {(data) => (
          <>
            <About data={data} />
            <Quarantine data={data} />
            <Versions data={data} />
            <Keys data={data} />
          </>
        )}
      </Answer>
    </Page>
  );
}

function About({ data }: { data: HoldingDetail }) {
  const who = useSession()?.who;
  const newest = data.versions[0];
  const onLedger = who?.ledger != null && data.profiled;
  return (
    <Section title="State">
      <Facts
        items={[
          ["Comes in as", wayWords(data.way)],
          ["Whom a row is about", data.subject === null ? "nobody: no column names a person or device" : <code>{data.subject}</code>],
          [
            "Newest version",
            newest === undefined ? (
              "–"
            ) : (
              <span className="figure">
                {count(newest.version)}, of <Time value={newest.at} /> UTC: {count(newest.rows)} rows, {size(newest.bytes)}
              </span>
            ),
          ],
          [
            "Questions under permits",
            data.profiled ? "it takes them: privacy.toml states unit, bounds and domains" : "none: privacy.toml has no profile of it",
          ],
          ...(onLedger ? [["On the ledger", <DatasetLink id={`${who.holder}/${data.dataset}`} />] as [string, React.ReactNode]] : []),
        ]}
      />
    </Section>
  );
}

function Quarantine({ data }: { data: HoldingDetail }) {
  const { quarantine } = data;
  if (quarantine === null) {
    return (
      <Section title="Quarantine">
        <div className="state" role="status">
          <p>Nothing was refused.</p>
        </div>
      </Section>
    );
  }
  const { reasons, withheld } = quarantine;
  const records = (reasons ?? []).reduce((sum, one) => sum + one.records, 0);
  return (
    <Section
      title="Quarantine"
      aside={
        reasons === null ? undefined : (
          <span className="muted figure">
            {quarantine.more ? "over " : ""}
            {count(records)} {records === 1 ? "record" : "records"}
          </span>
        )
      }
    >
      {reasons === null ? (
        <div className="state" role="alert">
          <h2>You may not read this</h2>
          <p>{withheld}</p>
        </div>
      ) : (
        <>
          <Table label="Why records were refused">
            <thead>
              <tr>
                <th scope="col">Field or element</th>
                <th scope="col">Reason</th>
                <th scope="col" className="right">
                  Records
                </th>
              </tr>
            </thead>
            <tbody>
              {reasons.map((one, at) => (
                <tr key={at}>
                  <th scope="row">{one.field === null ? <span className="muted">the whole record</span> : <code>{one.field}</code>}</th>
                  <td>{one.reason ?? <span className="muted">withheld by policy</span>}</td>
                  <td className="right">
                    <Count value={one.records} />
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
          {quarantine.more ? <p className="muted">There are more kinds; these are the most frequent.</p> : null}
          <p className="muted note">
            Reasons tell no value. The records themselves, with file and line, are encrypted as the dataset is and read
            under the steward&rsquo;s role: <code>salus sql &quot;SELECT * FROM {quarantine.dataset}&quot; --role steward</code>
          </p>
        </>
      )}
    </Section>
  );
}

function Versions({ data }: { data: HoldingDetail }) {
  return (
    <Section title="Newest versions">
      <Table label="Newest versions">
        <thead>
          <tr>
            <th scope="col" className="right">
              Version
            </th>
            <th scope="col">Written, UTC</th>
            <th scope="col" className="right">
              New rows
            </th>
            <th scope="col" className="right">
              Rows in files
            </th>
            <th scope="col" className="right">
              Size
            </th>
          </tr>
        </thead>
        <tbody>
          {data.versions.map((one) => (
            <tr key={one.version}>
              <th scope="row" className="right">
                <Count value={one.version} />
              </th>
              <td>
                <Time value={one.at} />
              </td>
              <td className="right figure nowrap">{change(one.change)}</td>
              <td className="right">
                <Count value={one.rows} />
              </td>
              <td className="right figure nowrap">{size(one.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Section>
  );
}

function Keys({ data }: { data: HoldingDetail }) {
  const names = [...new Set(data.columns.map((one) => one.key))].sort();
  return (
    <Section title="Keys">
      <Table label="Keys">
        <thead>
          <tr>
            <th scope="col">
              <Explain word="Master key">
                <p>
                  Each column is encrypted under keys of its own, which are wrapped by a master key. Without the master
                  key nobody reads the column, from a backup as little as from the store.
                </p>
              </Explain>
            </th>
            <th scope="col">State</th>
            <th scope="col">Newest of, UTC</th>
            <th scope="col">Protects</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => {
            const key = data.keys.find((one) => one.name === name);
            const newest = key?.versions[key.versions.length - 1];
            return (
              <tr key={name}>
                <th scope="row">
                  <code>{name}</code>
                </th>
                <td className={key?.state === "active" ? undefined : "refused"}>{key?.state ?? "gone"}</td>
                <td>{newest === undefined ? "–" : <Time value={newest.created} />}</td>
                <td>
                  <ul className="about beside">
                    {data.columns
                      .filter((one) => one.key === name)
                      .map((one) => (
                        <li key={one.column}>
                          <code>{one.column}</code>
                        </li>
                      ))}
                  </ul>
                </td>
              </tr>
            );
          })}
        </tbody>
      </Table>
    </Section>
  );
}
