import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type Dispatch, type SetStateAction } from "react";

import { Refusal } from "../api";
import { useAttended } from "../attended";
import { sentence } from "../parts";
import { useSession } from "../session";
import { begin, stop, study as studyQuery } from "./client";
import type { Study, StudyKind, StudyWanted } from "./contract";
import { isGone, unseen, type Unseen } from "./poll";

/** How often a running study is asked about. */
const LOOK_MS = 1_000;
/** Half of the time after which an idle session ends. */
export const ATTENDED_MS = 15 * 60_000;

/** A study of this page, as far as it is known. */
export interface Running {
  kind: StudyKind;
  /** None when there is none, or nothing is known of it yet. */
  study: Study | null;
  isRunning: boolean;
  /** Whether the node has forgotten it. */
  isLost: boolean;
  /** Why nothing new is known of it, while what was last read stays. */
  unseen: Unseen | null;
  /** Why another one did not begin. */
  trouble: string | null;
  /** Why it was not stopped. */
  stopTrouble: string | null;
  begin: (wanted: StudyWanted) => Promise<boolean>;
  /** Begins exactly the same once more; none where nobody knows any more what it was. */
  repeat: (() => void) | null;
  /** Looks how far it is, at once. */
  look: () => void;
  /** Takes up one that was begun elsewhere. */
  adopt: (id: string) => void;
  stop: () => void;
  forget: () => void;
}

/** What a tab keeps for whoever reloads the page; another person's is not read. */
export function useKept<T>(name: string, first: () => T): [T, Dispatch<SetStateAction<T>>] {
  const account = useSession()?.who.account.id ?? "";
  const key = `salus.${account}.${name}`;
  const [value, setValue] = useState<T>(() => {
    const kept = sessionStorage.getItem(key);
    return kept === null ? first() : (JSON.parse(kept) as T);
  });
  useEffect(() => sessionStorage.setItem(key, JSON.stringify(value)), [key, value]);
  return [value, setValue];
}

export function useStudy(dataset: string, kind: StudyKind): Running {
  const [id, setId] = useKept<string | null>(`release.${dataset}.${kind}`, () => null);
  // The node forgets what was asked with the study; whoever has to give it again needs it then.
  const [wanted, setWanted] = useKept<StudyWanted | null>(`release.${dataset}.${kind}.wanted`, () => null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [stopTrouble, setStopTrouble] = useState<string | null>(null);
  const client = useQueryClient();
  const isAttended = useAttended(ATTENDED_MS);
  const query = useQuery({
    ...studyQuery(id ?? ""),
    enabled: id !== null,
    retry: false,
    // What has ended stays as it is, also when the node forgets it.
    staleTime: ({ state }) => (state.data === undefined || state.data.state === "running" ? 0 : Infinity),
    refetchInterval: ({ state: { data, error } }) =>
      isAttended && (data === undefined || data.state === "running") && !isGone(error) && (unseen(error)?.isTrying ?? true)
        ? LOOK_MS
        : false,
  });
  const { data, isPending } = query;
  // While it is asked for again, an answer that never came is not known to have failed.
  const [last, setLast] = useState<Error | null>(null);
  useEffect(() => {
    if (!isPending) setLast(query.error);
  }, [isPending, query.error]);
  const error = id === null ? null : isPending ? last : query.error;
  const hidden = unseen(error);
  const state = data?.state;
  useEffect(() => {
    if (state !== undefined) void client.invalidateQueries({ queryKey: ["release", dataset] });
    if (kind === "release" && state === "done") void client.invalidateQueries({ queryKey: ["holdings"] });
  }, [client, dataset, kind, state]);
  const start = async (wanted: StudyWanted) => {
    setTrouble(null);
    setStopTrouble(null);
    try {
      const begun = await begin(dataset, wanted);
      client.setQueryData(studyQuery(begun.study).queryKey, beginning(begun.study, dataset, kind, wanted));
      setLast(null);
      setWanted(wanted);
      setId(begun.study);
      return true;
    } catch (refused) {
      setTrouble(sentence(refused));
      // Another one runs, which this page has not heard of.
      if (refused instanceof Refusal && refused.reason === "running") {
        void client.invalidateQueries({ queryKey: ["release", dataset] });
      }
      return false;
    }
  };
  const known = data?.asked ?? wanted;
  return {
    kind,
    study: id === null || isGone(error) ? null : (data ?? null),
    isRunning: id !== null && !isGone(error) && state === "running" && (hidden?.isTrying ?? true),
    isLost: id !== null && isGone(error),
    unseen: hidden,
    trouble,
    stopTrouble,
    begin: start,
    repeat: id === null || known === null ? null : () => void start(known),
    look: () => void query.refetch(),
    adopt: (other) => {
      setLast(null);
      setWanted(null);
      setId(other);
    },
    stop: () => {
      if (id === null) return;
      setStopTrouble(null);
      stop(id).then(
        () => void query.refetch(),
        (refused: unknown) => setStopTrouble(`It goes on: ${sentence(refused)}`),
      );
    },
    forget: () => {
      setTrouble(null);
      setStopTrouble(null);
      setLast(null);
      setWanted(null);
      setId(null);
    },
  };
}

/** What is known of a study before it was asked about for the first time. */
const beginning = (study: string, dataset: string, kind: StudyKind, asked: StudyWanted): Study => ({
  study,
  dataset,
  kind,
  asked,
  state: "running",
  stage: "it begins",
  begun: new Date().toISOString(),
  seconds: 0,
  rows: null,
  tried: [],
  assessed: null,
  advised: null,
  rehearsed: null,
  released: null,
  problem: null,
});
