import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";

import type { DatasetLine } from "../api/client";
import { dataset, datasets, permits, receipts, transactions } from "../api/queries";
import {
  Amount,
  Count,
  DatasetLink,
  Explain,
  Facts,
  Hash,
  MemberLink,
  Page,
  Section,
  Table,
} from "../ui/parts";
import { Pager } from "../ui/pager";
import { Answer } from "../ui/states";
import { Receipts, Transactions } from "../ui/tables";
import { Permits } from "./permits";

export function DatasetsPage() {
  const { after } = useSearch({ from: "/datasets" });
  const query = useQuery(datasets(after));
  return (
    <Page
      title="Datasets"
      lead="Commitments and privacy accounts. The data stays with its holders, encrypted; none of it is here."
    >
      <Answer
        query={query}
        empty={{
          when: (data) => data.items.length === 0,
          say: "No holder has registered a dataset yet.",
        }}
      >
        {(data) => (
          <>
            <Table label="Datasets">
              <thead>
                <tr>
                  <th scope="col">Dataset</th>
                  <th scope="col" className="right">
                    Version
                  </th>
                  <th scope="col">Spent</th>
                  <th scope="col">Set aside</th>
                  <th scope="col">Left</th>
                  <th scope="col">Used</th>
                </tr>
              </thead>
              <tbody>
                {data.items.map((line) => (
                  <tr key={line.id}>
                    <th scope="row">
                      <DatasetLink id={line.id} />
                    </th>
                    <td className="right">
                      <Count value={line.version} />
                    </td>
                    <td>
                      <Amount loss={line.account?.spent} />
                    </td>
                    <td>
                      <Amount loss={line.account?.reserved} />
                    </td>
                    <td>
                      <Amount loss={line.account?.left} />
                    </td>
                    <td>
                      <Meter line={line} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </Table>
            <Pager at={after} next={data.next} field="after" />
          </>
        )}
      </Answer>
    </Page>
  );
}

/** How much of the budget is gone: in micro-ρ, which adds up. */
function Meter({ line }: { line: DatasetLine }) {
  const { account } = line;
  if (account == null || account.budget.micro_rho === 0) return <>–</>;
  const gone = (account.spent.micro_rho + account.reserved.micro_rho) / account.budget.micro_rho;
  const percent = Math.ceil(gone * 1000) / 10;
  return (
    <span className="meter">
      <span className="bar" aria-hidden="true">
        <i style={{ width: `${Math.min(100, percent)}%` }} />
      </span>
      <span className="figure">{percent} %</span>
    </span>
  );
}

export function DatasetPage() {
  const { holder, name } = useParams({ from: "/datasets/$holder/$name" });
  const query = useQuery(dataset(holder, name));
  return (
    <Answer query={query}>
      {(data) => (
        <Page title={data.id}>
          <Facts items={facts(data)} />
          <Used id={data.id} />
        </Page>
      )}
    </Answer>
  );
}

function facts(data: DatasetLine): Parameters<typeof Facts>[0]["items"] {
  const { account } = data;
  const items: Parameters<typeof Facts>[0]["items"] = [
    ["Holder", <MemberLink id={data.holder} />],
    ["Last version", <Count value={data.version} />],
    [
      <Explain word="Commitment">
        <p>
          A salted hash of the version. Whoever holds the dataset and the salt can show that it is
          the one; nobody else learns anything from it.
        </p>
      </Explain>,
      <Hash value={data.commitment} name="the commitment" />,
    ],
    ["Also has to sign", data.policy ?? <span className="muted">nobody beside the holder</span>],
  ];
  if (account == null) return items;
  return [
    ...items,
    [
      <Explain word="Privacy budget">
        <p>
          All that may ever be told about any one person in this dataset, over all permits and all
          kinds of release. It never grows. ε is shown at δ = 10⁻{superscript(account.delta_exponent)}
          , each amount by itself; the sums are kept in micro-ρ.
        </p>
      </Explain>,
      <Amount loss={account.budget} />,
    ],
    ["Spent", <Amount loss={account.spent} />],
    ["Set aside for running jobs", <Amount loss={account.reserved} />],
    ["Left", <Amount loss={account.left} />],
    ["Gone", <Meter line={data} />],
    [
      "Releases without a bound",
      account.releases === "dp-only" ? "not possible here" : <Count value={account.not_bounded} />,
    ],
  ];
}

function superscript(number: number): string {
  return [...String(number)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]).join("");
}

function Used({ id }: { id: string }) {
  const released = useQuery(receipts({ dataset: id }));
  const permitted = useQuery(permits({ dataset: id }));
  const latest = useQuery(transactions({ dataset: id }, 10));
  const all = (
    <Link to="/transactions" search={{ dataset: id }}>
      All
    </Link>
  );
  return (
    <>
      <Section title="Permits">
        <Answer
          query={permitted}
          empty={{ when: (data) => data.items.length === 0, say: "Nobody has applied for it yet." }}
        >
          {(data) => <Permits items={data.items} />}
        </Answer>
      </Section>
      <Section title="Releases">
        <Answer
          query={released}
          empty={{
            when: (data) => data.items.length === 0,
            say: "Nothing was ever computed from it for release.",
          }}
        >
          {(data) => <Receipts items={data.items} label="Releases" />}
        </Answer>
      </Section>
      <Section title="Latest transactions" aside={all}>
        <Answer query={latest}>
          {(data) => <Transactions items={data.items} label="Latest transactions" />}
        </Answer>
      </Section>
    </>
  );
}
