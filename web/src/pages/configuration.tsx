import { useQuery } from "@tanstack/react-query";

import type { Configuration } from "../api/client";
import { configuration } from "../api/queries";
import { count } from "../ui/format";
import { BlockLink, Count, Facts, Hash, MemberLink, Page, Section, Table, Time } from "../ui/parts";
import { Answer } from "../ui/states";

export function ConfigurationPage() {
  const query = useQuery(configuration);
  return (
    <Page
      title="Configuration"
      lead="Who validates, who governs, what is limited. It changes only by a transaction that enough administrators signed."
    >
      <Answer query={query}>
        {(data) => (
          <>
            <Present data={data} />
            <History data={data} />
            <Contracts data={data} />
          </>
        )}
      </Answer>
    </Page>
  );
}

function Present({ data }: { data: Configuration }) {
  const now = data.history[0];
  if (now === undefined) return null;
  return (
    <Section title={`In force: configuration ${count(now.version)}`}>
      <Facts
        items={[
          ["Governed by", now.governance],
          [
            "Validators",
            <ul className="about">
              {now.validators.map((validator) => (
                <li key={validator.key}>
                  {validator.member == null ? "–" : <MemberLink id={validator.member} />}{" "}
                  <Hash value={validator.key} name={`the key of ${validator.member ?? "a validator"}`} />
                </li>
              ))}
            </ul>,
          ],
          ["Votes needed", `${now.quorum} of ${now.validators.length}`],
          [
            "Also has to be signed",
            now.policies.length === 0 ? (
              <span className="muted">nothing beyond what each contract demands</span>
            ) : (
              <ul className="about">
                {now.policies.map((line) => (
                  <li key={line.method}>
                    <code>{line.method}</code> {line.policy}
                  </li>
                ))}
              </ul>
            ),
          ],
          [
            "Certificate authorities",
            <ul className="about">
              {now.authorities.map((authority) => (
                <li key={authority}>
                  <Hash value={authority} name="the authority's fingerprint" />
                </li>
              ))}
            </ul>,
          ],
          [
            "One block",
            <span className="figure">
              at most {count(now.block_bytes)} bytes and {count(now.block_transactions)} transactions
            </span>,
          ],
          [
            "One transaction",
            <span className="figure">lives {count(now.lifetime_blocks)} blocks at most</span>,
          ],
          [
            "Clocks",
            <span className="figure">
              may differ by {count(now.clock_skew_micros / 1000)} ms at most
            </span>,
          ],
        ]}
      />
    </Section>
  );
}

function History({ data }: { data: Configuration }) {
  return (
    <Section title="History">
      <Table label="Configurations, newest first">
        <thead>
          <tr>
            <th scope="col" className="right">
              Version
            </th>
            <th scope="col">Hash</th>
            <th scope="col">Validators</th>
            <th scope="col">Governed by</th>
            <th scope="col" className="right">
              In block
            </th>
            <th scope="col">Time, UTC</th>
          </tr>
        </thead>
        <tbody>
          {data.history.map((line) => (
            <tr key={line.version}>
              <th scope="row" className="right">
                <Count value={line.version} />
              </th>
              <td>
                <Hash value={line.hash} name={`the hash of configuration ${line.version}`} />
              </td>
              <td>{line.validators.map((validator) => validator.member ?? "–").join(", ")}</td>
              <td>{line.governance}</td>
              <td className="right">
                <BlockLink height={line.height} />
              </td>
              <td>
                <Time value={line.time} />
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Section>
  );
}

function Contracts({ data }: { data: Configuration }) {
  return (
    <Section title="Contracts">
      <Table label="Contracts">
        <thead>
          <tr>
            <th scope="col">Contract</th>
            <th scope="col" className="right">
              Version of the rules
            </th>
            <th scope="col">Made effective</th>
          </tr>
        </thead>
        <tbody>
          {data.contracts.map((line) => (
            <tr key={line.contract}>
              <th scope="row">{line.contract}</th>
              <td className="right">
                <Count value={line.version} />
              </td>
              <td>
                {line.schedule.length === 0
                  ? "the first, since the genesis"
                  : line.schedule
                      .map((change) => `version ${change.version} from block ${count(change.from)}`)
                      .join(", ")}
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Section>
  );
}
