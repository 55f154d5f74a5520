import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Button } from "react-aria-components";

import { Problem } from "../api/client";
import { forgetToken } from "../api/session";
import { isSite } from "../site/mode";

/**
 * What a page shows before, instead of, or as its answer. What was read once stays, also when a later
 * look fails: whoever works on it keeps it.
 */
export function Answer<T>({
  query,
  empty,
  lines = 6,
  children,
}: {
  query: UseQueryResult<T>;
  /** What to say when there is nothing, and how to tell. */
  empty?: { when: (data: T) => boolean; say: ReactNode };
  lines?: number;
  children: (data: T) => ReactNode;
}) {
  const { data, error } = query;
  const again = () => void query.refetch();
  if (data === undefined) return error === null ? <Loading lines={lines} /> : <Failed error={error} again={again} />;
  return (
    <>
      {error === null ? null : <Old error={error} again={again} />}
      {empty?.when(data) ? <Empty>{empty.say}</Empty> : children(data)}
    </>
  );
}

/** That what is shown was read earlier, and why there is nothing newer. */
function Old({ error, again }: { error: Error; again: () => void }) {
  const why = error instanceof Problem ? sentence(error.message) : `The ${isSite ? "node" : "validator"} cannot be reached.`;
  return (
    <p className="old note" role="status">
      <span>This could not be brought up to date. {why}</span>
      <Button className="quiet" onPress={again}>
        Try again
      </Button>
    </p>
  );
}

export function Loading({ lines }: { lines: number }) {
  return (
    <div className="loading" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, at) => (
        <span key={at} />
      ))}
    </div>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return (
    <div className="state" role="status">
      <p>{children}</p>
    </div>
  );
}

export function Failed({ error, again }: { error: Error; again: () => void }) {
  if (error instanceof Problem && error.isRefused) return <NotPermitted error={error} />;
  if (error instanceof Problem && error.isAbsent) {
    return (
      <div className="state" role="alert">
        <h2>Not {error.place}</h2>
        <p>{sentence(error.message)}</p>
      </div>
    );
  }
  const reached = error instanceof Problem;
  return (
    <div className="state" role="alert">
      <h2>{`The ${isSite ? "node" : "validator"} ${reached ? "could not answer" : "cannot be reached"}`}</h2>
      <p>
        {reached
          ? sentence(error.message)
          : "Check that it runs on this machine. What is shown elsewhere on this page may be old."}
      </p>
      <Button onPress={again}>Try again</Button>
    </div>
  );
}

function NotPermitted({ error }: { error: Problem }) {
  if (isSite) {
    return (
      <div className="state" role="alert">
        <h2>You may not read this</h2>
        <p>{sentence(error.message)}</p>
      </div>
    );
  }
  const leave = () => {
    forgetToken();
    window.location.reload();
  };
  return (
    <div className="state" role="alert">
      <h2>You may not read this</h2>
      <p>{sentence(error.message)}</p>
      <Button onPress={leave}>Give another token</Button>
    </div>
  );
}

/** Messages of the API begin small, because programs put them behind a colon. */
function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
