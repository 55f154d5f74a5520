import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { Count, DatasetLink, Page, PermitLink, ReceiptLink, Table, Time } from "../../ui/parts";
import { Answer } from "../../ui/states";
import { accounts, asked, type AskedLine } from "../api";
import { describe } from "../question";
import { useRole } from "../session";
import { Older } from "./accounts";

const CLASSES: Record<string, string> = {
  "bad-request": "not a question that can be asked",
  refused: "refused by permit or budget",
  unavailable: "holder or ledger out of reach",
  peer: "the holder's node broke its word",
  corrupt: "damaged at the holder's",
  bug: "a fault at the holder's",
};

export function QuestionsPage() {
  const role = useRole();
  const isOwn = role === "researcher";
  const [before, setBefore] = useState<number | undefined>(undefined);
  const query = useQuery(asked(before));
  const people = useQuery({ ...accounts, enabled: !isOwn });
  const named = (id: string) => people.data?.find((one) => one.id === id)?.name ?? `${id.slice(0, 8)}…`;
  return (
    <Page
      title={isOwn ? "My questions" : "Questions"}
      lead={
        isOwn
          ? "What you asked from this console, latest first. Answers are not kept here."
          : "What was asked from this console, by whom and under which permit. Answers are sealed to the asker and not kept."
      }
    >
      <Answer
        query={query}
        empty={{ when: (list) => list.length === 0, say: isOwn ? "You have asked nothing yet. The studio is the place." : "Nobody has asked anything yet." }}
      >
        {(list) => (
          <>
            <Table label="Questions">
              <thead>
                <tr>
                  <th scope="col">Question</th>
                  <th scope="col">Dataset</th>
                  {isOwn ? null : <th scope="col">Who</th>}
                  <th scope="col">Permit</th>
                  <th scope="col">Outcome</th>
                  <th scope="col" className="right">
                    µρ
                  </th>
                  <th scope="col">Time, UTC</th>
                </tr>
              </thead>
              <tbody>
                {list.map((line) => (
                  <Line key={line.number} line={line} who={isOwn ? null : named(line.account)} />
                ))}
              </tbody>
            </Table>
            <Older numbers={list.map((line) => line.number)} before={before} onBefore={setBefore} />
          </>
        )}
      </Answer>
    </Page>
  );
}

function Line({ line, who }: { line: AskedLine; who: string | null }) {
  const { outcome } = line;
  return (
    <tr>
      <th scope="row" title={line.question}>
        {describe(line.question)}
      </th>
      <td>
        <DatasetLink id={line.dataset} />
      </td>
      {who === null ? null : <td>{who}</td>}
      <td>
        <PermitLink id={line.permit} />
      </td>
      <td>
        {outcome.ended === "answered" ? <ReceiptLink id={outcome.receipt} /> : null}
        {outcome.ended === "failed" ? <span className="refused">{CLASSES[outcome.class] ?? outcome.class}</span> : null}
        {outcome.ended === "sent" ? <span className="muted">no answer came back</span> : null}
      </td>
      <td className="right">{outcome.ended === "answered" ? <Count value={outcome.micro_rho} /> : "–"}</td>
      <td>
        <Time value={line.at} />
      </td>
    </tr>
  );
}
