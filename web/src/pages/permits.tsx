import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "react-aria-components";

import type { PermitLine } from "../api/client";
import { permit, permits, receipts, transactions } from "../api/queries";
import { site } from "../site/api";
import { Doing, Window } from "../site/parts";
import { useRole } from "../site/session";
import { day } from "../ui/format";
import {
  Amount,
  BlockLink,
  Count,
  DatasetLink,
  Explain,
  Facts,
  Hash,
  Page,
  PermitLink,
  Section,
  Table,
  Time,
} from "../ui/parts";
import { Pager } from "../ui/pager";
import { Answer } from "../ui/states";
import { Receipts, Transactions } from "../ui/tables";

export function PermitsPage() {
  const filter = useSearch({ from: "/permits" });
  const query = useQuery(permits(filter));
  return (
    <Page
      title="Permits"
      lead="Who may compute what, for which purpose and until when. The person behind a permit stands here as a key made for it alone."
    >
      <Answer
        query={query}
        empty={{
          when: (data) => data.items.length === 0 && data.next == null,
          say: "Nobody has applied for a permit yet.",
        }}
      >
        {(data) => (
          <>
            <Permits items={data.items} />
            <Pager at={filter.before} next={data.next} field="before" />
          </>
        )}
      </Answer>
    </Page>
  );
}

/** In force means granted and not over as of the last block. */
function State({ line }: { line: PermitLine }) {
  if (line.state === "granted" && line.expired) return <span className="muted">over</span>;
  if (line.state === "granted") return <>in force</>;
  const reason = line.reason == null ? "" : `: ${line.reason.replaceAll("-", " ")}`;
  return (
    <span className={line.state === "applied" ? undefined : "refused"}>
      {line.state === "applied" ? "applied for" : line.state}
      {reason}
    </span>
  );
}

export function Permits({ items }: { items: PermitLine[] }) {
  return (
    <Table label="Permits">
      <thead>
        <tr>
          <th scope="col">Permit</th>
          <th scope="col">State</th>
          <th scope="col">Purpose</th>
          <th scope="col">Datasets</th>
          <th scope="col">Spent</th>
          <th scope="col">Ends</th>
        </tr>
      </thead>
      <tbody>
        {items.map((line) => (
          <tr key={line.id}>
            <th scope="row">
              <PermitLink id={line.id} />
            </th>
            <td>
              <State line={line} />
            </td>
            <td>{line.purpose.replaceAll("-", " ")}</td>
            <td>
              <ul className="about">
                {line.grounds.map((ground) => (
                  <li key={ground.dataset}>
                    <DatasetLink id={ground.dataset} />
                  </li>
                ))}
              </ul>
            </td>
            <td>
              <ul className="about">
                {line.grounds.map((ground) => (
                  <li key={ground.dataset}>
                    <Amount loss={ground.spent} />
                  </li>
                ))}
              </ul>
            </td>
            <td className="figure">{day(line.expires)}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

export function PermitPage() {
  const { id } = useParams({ from: "/permits/$id" });
  const query = useQuery(permit(id));
  return (
    <Answer query={query}>
      {(data) => (
        <Page title="Permit" lead={<State line={data} />}>
          <Decide line={data} />
          <Facts
            items={[
              ["Permit", <Hash value={data.id} name="the permit's id" />],
              [
                <Explain word="Person">
                  <p>
                    A key that was made for this permit alone. The hub knows whose it is; two
                    permits of one person cannot be told to be hers from the ledger.
                  </p>
                </Explain>,
                <Hash value={data.pseudonym} name="the pseudonymous key" />,
              ],
              ["Purpose", data.purpose.replaceAll("-", " ")],
              ["Ends, UTC", <Time value={data.expires} />],
              [
                "Decided in block",
                data.state_since == null ? "not decided yet" : <BlockLink height={data.state_since} />,
              ],
              [
                "Code",
                data.code == null ? "any that the holders run" : <Hash value={data.code} name="the code's hash" />,
              ],
              [
                "Releases without a bound",
                data.releases === "dp-only" ? "not possible" : "possible, after the release gate",
              ],
              ["Terms changed", `${data.revision} times`],
            ]}
          />
          <Grounds data={data} />
          <Used id={id} />
        </Page>
      )}
    </Answer>
  );
}

/** An officer's decision on an application; whether the organisation may, the contracts say. */
function Decide({ line }: { line: PermitLine }) {
  const role = useRole();
  const [wanted, setWanted] = useState<"grant" | "refuse" | null>(null);
  const client = useQueryClient();
  if (role !== "steward" || line.state !== "applied") return null;
  const close = () => setWanted(null);
  const decide = async () => {
    if (wanted === null) return;
    await site.decide(line.id, wanted);
    await client.invalidateQueries();
    close();
  };
  const isGrant = wanted === "grant";
  return (
    <div className="decision">
      <p>
        It waits for the decision of an officer. Read what it asks for below, and decide in your
        organisation&rsquo;s name.
      </p>
      <div className="actions">
        <Button className="primary" onPress={() => setWanted("grant")}>
          Grant…
        </Button>
        <Button onPress={() => setWanted("refuse")}>Refuse…</Button>
      </div>
      <Window title={isGrant ? "Grant this permit" : "Refuse this permit"} isOpen={wanted !== null} onClose={close}>
        <Doing label={isGrant ? "Grant it" : "Refuse it"} danger={!isGrant} action={decide}>
          <p>
            {isGrant
              ? "From the next block on, its person can ask within the columns and budgets below, until it ends."
              : "A refused application stays on the ledger as that. Its person can apply anew."}
          </p>
        </Doing>
      </Window>
    </div>
  );
}

function Grounds({ data }: { data: PermitLine }) {
  return (
    <Section title="What it allows">
      <Table label="What it allows">
        <thead>
          <tr>
            <th scope="col">Dataset</th>
            <th scope="col">Columns</th>
            <th scope="col">Budget</th>
            <th scope="col">Spent</th>
            <th scope="col">Set aside</th>
            <th scope="col">Left</th>
            <th scope="col" className="right">
              Not bounded
            </th>
          </tr>
        </thead>
        <tbody>
          {data.grounds.map((ground) => (
            <tr key={ground.dataset}>
              <th scope="row">
                <DatasetLink id={ground.dataset} />
              </th>
              <td>
                <code>{ground.columns.join(", ")}</code>
              </td>
              <td>
                <Amount loss={ground.budget} />
              </td>
              <td>
                <Amount loss={ground.spent} />
              </td>
              <td>
                <Amount loss={ground.reserved} />
              </td>
              <td>
                <Amount loss={ground.left} />
              </td>
              <td className="right">
                <Count value={ground.not_bounded} />
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Section>
  );
}

function Used({ id }: { id: string }) {
  const released = useQuery(receipts({ permit: id }));
  const latest = useQuery(transactions({ permit: id }));
  return (
    <>
      <Section title="Releases">
        <Answer
          query={released}
          empty={{ when: (data) => data.items.length === 0, say: "Nothing was released under it yet." }}
        >
          {(data) => <Receipts items={data.items} label="Releases" />}
        </Answer>
      </Section>
      <Section title="Its transactions">
        <Answer query={latest}>
          {(data) => <Transactions items={data.items} label="Its transactions" />}
        </Answer>
      </Section>
    </>
  );
}
