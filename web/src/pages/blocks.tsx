import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";

import { block, blocks } from "../api/queries";
import { count } from "../ui/format";
import { Explain, Facts, Hash, MemberLink, Page, Section, Table, Time } from "../ui/parts";
import { Pager } from "../ui/pager";
import { BlockProof } from "../ui/proof";
import { Answer } from "../ui/states";
import { Blocks, Transactions } from "../ui/tables";

export function BlocksPage() {
  const { before } = useSearch({ from: "/blocks" });
  const query = useQuery(blocks(before));
  return (
    <Page title="Blocks" lead="Newest first. A ledger on which nothing happens makes no blocks.">
      <Answer query={query}>
        {(data) => (
          <>
            <Blocks items={data.items} label="Blocks" />
            <Pager at={before} next={data.next} field="before" />
          </>
        )}
      </Answer>
    </Page>
  );
}

export function BlockPage() {
  const { name } = useParams({ from: "/blocks/$name" });
  const query = useQuery(block(name));
  return (
    <Answer query={query}>
      {(data) => (
        <Page
          title={data.height === 0 ? "Genesis" : `Block ${count(data.height)}`}
          lead={
            <span className="neighbours">
              {data.height > 0 ? (
                <Link to="/blocks/$name" params={{ name: String(data.height - 1) }}>
                  Block before
                </Link>
              ) : null}
              <Link to="/blocks/$name" params={{ name: String(data.height + 1) }}>
                Block after
              </Link>
            </span>
          }
        >
          {data.height === 0 ? (
            <p>
              The ledger&rsquo;s id is the hash of its genesis, so that this block needs no votes.
            </p>
          ) : (
            <BlockProof hash={data.block} />
          )}
          <Facts
            items={[
              ["Hash", <Hash value={data.block} name="the block's hash" />],
              ["Time, UTC", <Time value={data.time} />],
              ["Block before it", <Hash value={data.parent} name="the hash of the block before" />],
              [
                <Explain word="History root">
                  <p>
                    One hash over all {count(data.history_size)} transactions up to this block
                    (RFC 9162). Whoever has it can check that any of them is in the history.
                  </p>
                </Explain>,
                <Hash value={data.history_root} name="the history's root" />,
              ],
              [
                <Explain word="State root">
                  <p>
                    One hash over members, permits, accounts and everything else that the ledger
                    says after this block.
                  </p>
                </Explain>,
                <Hash value={data.state_root} name="the state's root" />,
              ],
              ["Outcomes root", <Hash value={data.receipts_root} name="the outcomes' root" />],
              ["Configuration", <Hash value={data.configuration} name="the configuration's hash" />],
            ]}
          />
          <Section title="Transactions">
            {data.pruned ? (
              <p className="muted">
                The transactions themselves were pruned on this validator; what became of them stays
                here and stays provable.
              </p>
            ) : null}
            {data.transactions.length === 0 ? (
              <p className="muted">This block has none.</p>
            ) : (
              <Transactions items={data.transactions} label="Transactions of this block" />
            )}
          </Section>
          {data.votes.length === 0 ? null : (
            <Section title={`Votes: ${data.votes.length}, ${data.quorum} needed`}>
              <Table label="Votes">
                <thead>
                  <tr>
                    <th scope="col">Member</th>
                    <th scope="col">Key</th>
                  </tr>
                </thead>
                <tbody>
                  {data.votes.map((vote) => (
                    <tr key={vote.key}>
                      <th scope="row">{vote.member == null ? "–" : <MemberLink id={vote.member} />}</th>
                      <td>
                        <Hash value={vote.key} name="the voter's key" />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </Table>
            </Section>
          )}
        </Page>
      )}
    </Answer>
  );
}
