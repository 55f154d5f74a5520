import { useQuery } from "@tanstack/react-query";

import { Count, Explain, Page, Section, Table, Time } from "../../ui/parts";
import { Answer } from "../../ui/states";
import { holdings, keys, type Holding } from "../api";
import { size } from "../size";
import { HoldingLink } from "./intake";

export function HoldingsPage() {
  const query = useQuery(holdings);
  return (
    <Page
      title="Own datasets"
      lead="What this site holds, encrypted column by column. Counts on this page are exact and leave it nowhere else."
    >
      <Answer
        query={query}
        empty={{
          when: (list) => list.length === 0,
          say: "This lake is empty. Records come in with: salus import FILE --schema SCHEMA",
        }}
      >
        {(list) => <Holdings list={list} />}
      </Answer>
    </Page>
  );
}

function Holdings({ list }: { list: Holding[] }) {
  return (
    <Table label="Datasets">
      <thead>
        <tr>
          <th scope="col">Dataset</th>
          <th scope="col" className="right">
            Version
          </th>
          <th scope="col" className="right">
            Rows
          </th>
          <th scope="col" className="right">
            Size
          </th>
          <th scope="col">Written, UTC</th>
          <th scope="col">
            <Explain word="Quarantine">
              <p>
                Records that an import refused, with the reason beside each. They are encrypted as the
                dataset is. The dataset&rsquo;s own page counts them by reason.
              </p>
            </Explain>
          </th>
          <th scope="col">
            <Explain word="Questions">
              <p>
                A dataset takes questions under permits once its steward has stated unit, bounds and
                domains in privacy.toml, from knowledge of the measure and never from its rows.
              </p>
            </Explain>
          </th>
        </tr>
      </thead>
      <tbody>
        {list.map((one) => (
          <tr key={one.dataset}>
            <th scope="row">
              <HoldingLink dataset={one.dataset} />
            </th>
            {one.locked === null ? (
              <>
                <td className="right figure">{one.version}</td>
                <td className="right">
                  <Count value={one.rows ?? 0} />
                </td>
                <td className="right figure">{size(one.bytes ?? 0)}</td>
                <td>{one.created === undefined ? "–" : <Time value={one.created} />}</td>
              </>
            ) : (
              <td colSpan={4} className="refused">
                does not open: {one.locked}
              </td>
            )}
            <td>
              {one.quarantine === null ? (
                <span className="muted">none</span>
              ) : (
                <span className="refused">
                  <Count value={one.quarantine.rows ?? 0} /> {one.quarantine.rows === 1 ? "record" : "records"}
                </span>
              )}
            </td>
            <td>{one.profiled ? "takes them" : <span className="muted">no profile</span>}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

export function KeysPage() {
  const query = useQuery(keys);
  return (
    <Page
      title="Keys"
      lead="The master keys under which datasets and columns are encrypted. Here is their state; the keys themselves never leave the key store."
    >
      <Answer query={query}>
        {(shown) => (
          <>
            {shown.warnings.length === 0 ? null : (
              <ul className="warnings">
                {shown.warnings.map((warning) => (
                  <li key={warning}>{warning}</li>
                ))}
              </ul>
            )}
            <p className="muted">
              {shown.store === null ? "The key store does not answer." : `Kept in ${shown.store}.`} A
              revocation takes effect here at once, and elsewhere within {shown.revocation_seconds} s.
            </p>
            <Section title="Master keys">
              <Table label="Master keys">
                <thead>
                  <tr>
                    <th scope="col">Key</th>
                    <th scope="col">State</th>
                    <th scope="col" className="right">
                      Versions
                    </th>
                    <th scope="col">Newest of, UTC</th>
                  </tr>
                </thead>
                <tbody>
                  {shown.keys.map((key) => {
                    const newest = key.versions[key.versions.length - 1];
                    return (
                      <tr key={key.name}>
                        <th scope="row">
                          <code>{key.name}</code>
                        </th>
                        <td className={key.state === "revoked" ? "refused" : undefined}>{key.state}</td>
                        <td className="right">
                          <Count value={key.versions.length} />
                        </td>
                        <td>{newest === undefined ? "–" : <Time value={newest.created} />}</td>
                      </tr>
                    );
                  })}
                </tbody>
              </Table>
            </Section>
          </>
        )}
      </Answer>
    </Page>
  );
}
