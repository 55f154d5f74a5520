import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { ToggleButton } from "react-aria-components";

import type { BlockLine, Overview, Statistics } from "../api/client";
import { blocks, overview, statistics } from "../api/queries";
import { useTail, type TailState } from "../api/tail";
import { count, method } from "../ui/format";
import { BlockLink, Count, Explain, Hash, MemberLink, Page, Section, Table, Time } from "../ui/parts";
import { Answer } from "../ui/states";
import { Blocks } from "../ui/tables";

const TAIL_LINES = 12;

export function OverviewPage() {
  const query = useQuery(overview);
  return (
    <Page title="Overview">
      <Answer query={query} lines={4}>
        {(data) => (
          <>
            <Warnings data={data} />
            <Figures data={data} />
            <Tail />
            <div className="columns">
              <Kinds />
              <Validators data={data} />
            </div>
          </>
        )}
      </Answer>
    </Page>
  );
}

function Warnings({ data }: { data: Overview }) {
  const behind = data.height - data.indexed;
  const lines = [
    ...(data.observed.frozen
      ? ["A write failed on this validator: it commits nothing more until it is restarted."]
      : []),
    ...(behind > 0 ? [`The index is ${count(behind)} blocks behind; lists lack the newest.`] : []),
    ...(data.content_from > 0
      ? [`What transactions before block ${count(data.content_from)} say was pruned here.`]
      : []),
    ...data.warnings,
  ];
  if (lines.length === 0) return null;
  return (
    <ul className="warnings" aria-label="To see to">
      {lines.map((line) => (
        <li key={line}>{line.charAt(0).toUpperCase() + line.slice(1)}</li>
      ))}
    </ul>
  );
}

function Figures({ data }: { data: Overview }) {
  const { observed } = data;
  return (
    <dl className="figures">
      <div>
        <dt>Last block</dt>
        <dd>
          <BlockLink height={data.height} />
        </dd>
        <dd className="note">
          <Time value={data.time} />
        </dd>
      </div>
      <div>
        <dt>Transactions</dt>
        <dd>
          <Count value={data.transactions} />
        </dd>
        <dd className="note">{count(observed.waiting)} waiting here</dd>
      </div>
      <div>
        <dt>
          <Explain word="Finality">
            <p>
              From a block&rsquo;s own time to its commit on this validator&rsquo;s disk, for half of
              the last {count(observed.blocks)} blocks since it was started. This is its own
              observation and no part of the ledger; the clocks of two machines take part.
            </p>
          </Explain>
        </dt>
        <dd>{observed.finality_p50_ms == null ? "–" : `${count(observed.finality_p50_ms)} ms`}</dd>
        <dd className="note">
          {observed.finality_p95_ms == null
            ? "no block since the start"
            : `95 of 100 within ${count(observed.finality_p95_ms)} ms`}
        </dd>
      </div>
      <div>
        <dt>
          <Explain word="Quorum">
            <p>
              A block is final once this many validators have signed it. Fewer than a third of them
              may fail or lie, and the ledger neither stops nor forks.
            </p>
          </Explain>
        </dt>
        <dd>
          {data.quorum} of {data.validators.length}
        </dd>
        <dd className="note">
          <Link to="/configuration">configuration {count(data.configuration)}</Link>
        </dd>
      </div>
    </dl>
  );
}

const STATES: Record<TailState, string> = {
  connecting: "connecting",
  live: "live",
  interrupted: "interrupted; trying again",
};

function Tail() {
  const client = useQueryClient();
  const query = useQuery(blocks());
  const [fresh, setFresh] = useState<BlockLine[]>([]);
  const [held, setHeld] = useState<BlockLine[] | null>(null);
  const state = useTail((line) => {
    setFresh((old) => [line, ...old.filter((b) => b.height !== line.height)].slice(0, TAIL_LINES));
    void client.invalidateQueries({ queryKey: ["overview"] });
    void client.invalidateQueries({ queryKey: ["statistics"] });
  });
  const shown = (older: BlockLine[]) => {
    const newest = fresh[fresh.length - 1]?.height ?? Infinity;
    return [...fresh, ...older.filter((line) => line.height < newest)].slice(0, TAIL_LINES);
  };
  const pause = (older: BlockLine[], wanted: boolean) => setHeld(wanted ? shown(older) : null);
  const aside = (
    <span className="aside">
      <span className={`tail ${state}`} role="status">
        {held === null ? STATES[state] : "held"}
      </span>
      <ToggleButton
        className="quiet"
        isSelected={held !== null}
        onChange={(wanted) => pause(query.data?.items ?? [], wanted)}
      >
        Hold
      </ToggleButton>
    </span>
  );
  return (
    <Section title="Latest blocks" aside={aside}>
      <Answer query={query}>
        {(data) => <Blocks items={held ?? shown(data.items)} label="Latest blocks" />}
      </Answer>
    </Section>
  );
}

function Kinds() {
  const query = useQuery(statistics);
  return (
    <Section title="Transactions by kind">
      <Answer
        query={query}
        empty={{ when: (data) => data.kinds.length === 0, say: "Nothing has happened on this ledger yet." }}
      >
        {(data) => <Bars data={data} />}
      </Answer>
    </Section>
  );
}

function Bars({ data }: { data: Statistics }) {
  const most = Math.max(...data.kinds.map((kind) => kind.applied + kind.refused));
  return (
    <ul className="bars">
      {data.kinds.map((kind) => (
        <li key={kind.name}>
          <Link to="/transactions" search={{ method: kind.name }}>
            {method(kind.name)}
          </Link>
          <span className="bar" aria-hidden="true">
            <i style={{ width: `${(100 * kind.applied) / most}%` }} />
            <i className="refused" style={{ width: `${(100 * kind.refused) / most}%` }} />
          </span>
          <span className="figure">
            {count(kind.applied)}
            {kind.refused > 0 ? <small className="refused"> {count(kind.refused)} refused</small> : null}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Validators({ data }: { data: Overview }) {
  return (
    <Section title="Validators">
      <Table label="Validators">
        <thead>
          <tr>
            <th scope="col">Member</th>
            <th scope="col">Key</th>
            <th scope="col">
              <Explain word="Last block">
                <p>
                  Whether its vote is in the last block&rsquo;s certificate. A certificate is
                  complete with a quorum, so that a vote that is not in it came later, or was not
                  needed.
                </p>
              </Explain>
            </th>
          </tr>
        </thead>
        <tbody>
          {data.validators.map((validator) => (
            <tr key={validator.key}>
              <th scope="row">
                <MemberLink id={validator.member} />
              </th>
              <td>
                <Hash value={validator.key} name={`the key of ${validator.member}`} />
              </td>
              <td>{data.height === 0 ? "–" : validator.voted_last ? "voted" : "not needed"}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Section>
  );
}
