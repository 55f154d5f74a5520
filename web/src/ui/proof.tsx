import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Button } from "react-aria-components";

import { blockProof, transactionProof } from "../api/queries";
import { comparePin, repin } from "../proof/pin";
import { ProofError, Unsupported, type Finality, type Inclusion } from "../proof/verify";
import { CborError } from "../proof/cbor";
import { count } from "./format";
import { Explain, Hash } from "./parts";

type Mark = "checking" | "verified" | "wrong" | "unchecked" | "other";

function markOf(query: UseQueryResult<Finality>): Mark {
  if (query.isPending) return "checking";
  if (query.isError) {
    const wrong = query.error instanceof ProofError || query.error instanceof CborError;
    return wrong ? "wrong" : "unchecked";
  }
  return comparePin(query.data.ledger) === "other" ? "other" : "verified";
}

const WORDS: Record<Mark, string> = {
  checking: "checking…",
  verified: "verified here",
  wrong: "does not verify",
  unchecked: "not checked here",
  other: "another ledger",
};

export function MarkSign({ mark }: { mark: Mark }) {
  return (
    <span className={`mark ${mark}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        {mark === "verified" ? <path d="M3.5 8.5l3 3 6-7" /> : null}
        {mark === "wrong" || mark === "other" ? <path d="M4 4l8 8M12 4l-8 8" /> : null}
        {mark === "checking" || mark === "unchecked" ? <path d="M4 8h8" /> : null}
      </svg>
      {WORDS[mark]}
    </span>
  );
}

/** The mark alone, one click from its meaning. */
export function TransactionMark({ id }: { id: string }) {
  const query = useQuery(transactionProof(id));
  return (
    <Explain word={<MarkSign mark={markOf(query)} />}>
      <TransactionMeaning query={query} />
    </Explain>
  );
}

export function TransactionProof({ id }: { id: string }) {
  const query = useQuery(transactionProof(id));
  return (
    <Panel query={query}>
      <TransactionMeaning query={query} />
    </Panel>
  );
}

export function BlockProof({ hash }: { hash: string }) {
  const query = useQuery(blockProof(hash));
  return (
    <Panel query={query}>
      <Meaning query={query}>{(told) => <Votes told={told} />}</Meaning>
    </Panel>
  );
}

function Panel({ query, children }: { query: UseQueryResult<Finality>; children: ReactNode }) {
  return (
    <div className="proof" role="status" aria-label="Proof">
      <MarkSign mark={markOf(query)} />
      {children}
    </div>
  );
}

function TransactionMeaning({ query }: { query: UseQueryResult<Inclusion> }) {
  return (
    <Meaning query={query}>
      {(told) => (
        <>
          <p>
            Your browser followed {count(told.path)} hashes from this transaction, number{" "}
            {count(Number(told.historyIndex))} of {count(Number(told.historySize))} in the history,
            to the root that the validators signed, and checked the bytes of the transaction against
            it: it was {told.outcome}. The signatures of those who sent it were checked by each validator before it voted.
          </p>
          <Votes told={told} />
        </>
      )}
    </Meaning>
  );
}

function Votes({ told }: { told: Finality }) {
  return (
    <p>
      {told.votes} of {told.validators} validators signed block {count(Number(told.height))};{" "}
      {told.quorum} have to.{" "}
      {told.handovers === 0
        ? "They are the validators that the ledger began with."
        : `They follow from the first ones over ${told.handovers} signed ${
            told.handovers === 1 ? "change" : "changes"
          } of configuration.`}
    </p>
  );
}

/** What the mark means, and what it does not. */
function Meaning<T extends Finality>({
  query,
  children,
}: {
  query: UseQueryResult<T>;
  children: (told: T) => ReactNode;
}) {
  if (query.isPending) return <p>Votes and hashes are being checked in this browser.</p>;
  if (query.isError) return <Unproved error={query.error} />;
  if (comparePin(query.data.ledger) === "other") return <OtherLedger told={query.data} />;
  return (
    <>
      {children(query.data)}
      <p className="muted">
        The check begins at ledger <Hash value={query.data.ledger} name="the ledger's id" />. That
        this is the right ledger, and that this page does what it says, you take from the validator
        that served it: compare the id with the one your organisation was given, or run{" "}
        <code>salus ledger verify</code> on a machine of your own.
      </p>
    </>
  );
}

function Unproved({ error }: { error: Error }) {
  if (error instanceof ProofError || error instanceof CborError) {
    return (
      <p>
        The check failed: {error.message}. Do not rely on what this page says; keep the proof, and
        ask another validator.
      </p>
    );
  }
  if (error instanceof Unsupported) {
    return (
      <p>
        This browser cannot check Ed25519 signatures, so nothing was checked here. The validator
        checked the votes before it stored the block; you have its word for that alone.
      </p>
    );
  }
  return <p>No proof could be fetched ({error.message}), so nothing was checked here.</p>;
}

function OtherLedger({ told }: { told: Finality }) {
  const accept = () => {
    repin(told.ledger);
    window.location.reload();
  };
  return (
    <>
      <p>
        The proof holds, but for another ledger than the one this browser saw here before. That is
        right when the network was begun anew, and a deception otherwise. The ledger now:{" "}
        <Hash value={told.ledger} name="the ledger's id" />
      </p>
      <Button onPress={accept}>I compared the id; this is the one</Button>
    </>
  );
}
