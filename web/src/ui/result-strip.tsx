import type { ReactNode } from "react";

import type { Loss } from "../api/client";
import { epsilon } from "./format";
import { Amount, Explain, PermitLink, ReceiptLink } from "./parts";
import { TransactionMark } from "./proof";

export interface Result {
  permit: string;
  /** The interval that the answer states, where the page has the answer. */
  interval?: string | undefined;
  /** What it cost: as the ledger adds it up, or as ε where the page has that alone. */
  spent: Loss | null | number;
  left: Loss | null | number;
  receipt: { id: string; transaction: string };
}

/**
 * The same strip in the same place below every result: permit, interval, ε spent and left, receipt
 * with its verified mark, each one click from its meaning.
 */
export function ResultStrip({ result }: { result: Result }) {
  const { permit, interval, spent, left, receipt } = result;
  return (
    <dl className="strip" aria-label="What this result rests on">
      <Part
        word="Permit"
        meaning="The data permit under which this was computed. It names the datasets, the columns, the purpose and the end; the person stands on the ledger under a key made for this one permit."
      >
        <PermitLink id={permit} />
      </Part>
      <Part
        word="95 % interval"
        meaning="Where the true value lies, in 95 of 100 such answers. Answers themselves are never on the ledger, so that the explorer cannot show it; the query page does."
      >
        {interval ?? <span className="muted">not on the ledger</span>}
      </Part>
      <Part
        word="ε spent"
        meaning="How much this told at most about any one person, as ε at the dataset's δ. Smaller is more private. The ledger adds up micro-ρ, which is exact; ε does not add up."
      >
        <Price of={spent} />
      </Part>
      <Part
        word="ε left"
        meaning="What the permit may still spend on this dataset after all its releases so far, taken by itself."
      >
        <Price of={left} />
      </Part>
      <Part
        word="Receipt"
        meaning="The ledger's record of this release: who under which permit, which columns, at what cost. The mark beside it says whether your browser could check the record against the validators' signatures."
      >
        <ReceiptLink id={receipt.id} /> <TransactionMark id={receipt.transaction} />
      </Part>
    </dl>
  );
}

function Price({ of }: { of: Loss | null | number }) {
  if (typeof of !== "number") return <Amount loss={of} />;
  return <span className="figure amount">ε {epsilon(of)}</span>;
}

function Part({ word, meaning, children }: { word: string; meaning: string; children: ReactNode }) {
  return (
    <div>
      <dt>
        <Explain word={word}>
          <p>{meaning}</p>
        </Explain>
      </dt>
      <dd>{children}</dd>
    </div>
  );
}
