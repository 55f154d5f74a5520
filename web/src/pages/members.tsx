import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";

import { member, members, optOuts, transactions } from "../api/queries";
import { count, day } from "../ui/format";
import { BlockLink, Count, Explain, Facts, Hash, MemberLink, Page, Section, Table } from "../ui/parts";
import { Pager } from "../ui/pager";
import { Answer } from "../ui/states";
import { Transactions } from "../ui/tables";

export function MembersPage() {
  const { after } = useSearch({ from: "/members" });
  const query = useQuery(members(after));
  return (
    <Page
      title="Members"
      lead="The organisations of this ledger and what their keys may do. Persons are not on it."
    >
      <Answer query={query}>
        {(data) => (
          <>
            <Table label="Members">
              <thead>
                <tr>
                  <th scope="col">Member</th>
                  <th scope="col">Standing</th>
                  <th scope="col">Roles</th>
                  <th scope="col" className="right">
                    Since block
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.items.map((line) => (
                  <tr key={line.id}>
                    <th scope="row">
                      <MemberLink id={line.id} />
                    </th>
                    <td>
                      <Standing standing={line.standing} since={line.standing_since} />
                    </td>
                    <td>{line.roles.join(", ")}</td>
                    <td className="right">
                      <BlockLink height={line.since} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </Table>
            <Pager at={after} next={data.next} field="after" />
          </>
        )}
      </Answer>
      <OptOuts />
    </Page>
  );
}

function Standing({ standing, since }: { standing: string; since?: number | null | undefined }) {
  if (standing === "active") return <>active</>;
  return (
    <span className="refused">
      {standing === "equivocated" ? "voted twice" : standing}
      {since == null ? null : (
        <>
          {" "}
          at <BlockLink height={since} />
        </>
      )}
    </span>
  );
}

function OptOuts() {
  const query = useQuery(optOuts());
  return (
    <Section title="Opt-out epochs">
      <Answer
        query={query}
        lines={2}
        empty={{
          when: (data) => data.items.length === 0,
          say: "No holder has put an opt-out list on the ledger yet.",
        }}
      >
        {(data) => (
          <Table label="Opt-out epochs">
            <thead>
              <tr>
                <th scope="col">Holder</th>
                <th scope="col" className="right">
                  Epoch
                </th>
                <th scope="col">
                  <Explain word="Salted root">
                    <p>
                      A hash that binds the holder to one list. Neither who is on the list nor how
                      long it is can be read or guessed from it.
                    </p>
                  </Explain>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((line) => (
                <tr key={line.holder}>
                  <th scope="row">
                    <MemberLink id={line.holder} />
                  </th>
                  <td className="right">
                    <Count value={line.epoch} />
                  </td>
                  <td>
                    <Hash value={line.root} name={`the root of ${line.holder}`} />
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        )}
      </Answer>
    </Section>
  );
}

export function MemberPage() {
  const { id } = useParams({ from: "/members/$id" });
  const query = useQuery(member(id));
  return (
    <Answer query={query}>
      {(data) => (
        <Page title={data.line.id}>
          <Facts
            items={[
              [
                "Standing",
                <Standing standing={data.line.standing} since={data.line.standing_since} />,
              ],
              ["Roles", data.line.roles.join(", ") || "none"],
              ["Member since block", <BlockLink height={data.line.since} />],
              ["Wallet", <span className="figure">{count(data.wallet)} smallest units</span>],
              ...(data.opt_outs == null
                ? []
                : [
                    ["Opt-out epoch", <Count value={data.opt_outs.epoch} />] as [
                      string,
                      React.ReactNode,
                    ],
                  ]),
            ]}
          />
          <Section title="Keys">
            <Table label="Keys">
              <thead>
                <tr>
                  <th scope="col">Key</th>
                  <th scope="col">Standing</th>
                  <th scope="col">Roles</th>
                  <th scope="col">Certificate</th>
                  <th scope="col">Valid</th>
                </tr>
              </thead>
              <tbody>
                {data.keys.map((key) => (
                  <tr key={key.key}>
                    <th scope="row">
                      <Hash value={key.key} name="the key" />
                    </th>
                    <td>
                      <Standing standing={key.standing} />
                    </td>
                    <td>{key.roles.join(", ")}</td>
                    <td>
                      <Hash value={key.certificate} name="the certificate's fingerprint" />
                    </td>
                    <td className="figure">
                      {day(key.not_before)} to {day(key.not_after)}
                    </td>
                  </tr>
                ))}
              </tbody>
            </Table>
          </Section>
          <Latest id={id} />
        </Page>
      )}
    </Answer>
  );
}

function Latest({ id }: { id: string }) {
  const query = useQuery(transactions({ member: id }, 10));
  const all = (
    <Link to="/transactions" search={{ member: id }}>
      All
    </Link>
  );
  return (
    <Section title="Latest transactions" aside={all}>
      <Answer
        query={query}
        empty={{ when: (data) => data.items.length === 0, say: "It has signed nothing since the genesis, and nothing names it." }}
      >
        {(data) => <Transactions items={data.items} label="Latest transactions" />}
      </Answer>
    </Section>
  );
}
