import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type Dispatch, type SetStateAction } from "react";

import { Problem } from "../../api/client";
import { useAttended } from "../attended";
import { sentence } from "../parts";
import { useSession } from "../session";
import { begin, stop, study as studyQuery } from "./client";
import type { Study, StudyKind, StudyWanted } from "./contract";

/** How often a running study is asked about. */
const LOOK_MS = 1_000;
/** Half of the time after which an idle session ends. */
const ATTENDED_MS = 15 * 60_000;

/** A study of this page, as far as it is known. */
export interface Running {
  kind: StudyKind;
  /** None when there is none, or nothing is known of it yet. */
  study: Study | null;
  isRunning: boolean;
  /** Whether the node has forgotten it. */
  isLost: boolean;
  /** Whether the node is out of reach, while what was last read stays. */
  isAway: boolean;
  /** Why it did not begin. */
  trouble: string | null;
  begin: (wanted: StudyWanted) => Promise<boolean>;
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
  const [trouble, setTrouble] = useState<string | null>(null);
  const client = useQueryClient();
  const isAttended = useAttended(ATTENDED_MS);
  const query = useQuery({
    ...studyQuery(id ?? ""),
    enabled: id !== null,
    retry: false,
    // What has ended stays as it is, also when the node forgets it.
    staleTime: ({ state }) => (state.data === undefined || state.data.state === "running" ? 0 : Infinity),
    refetchInterval: ({ state }) =>
      isAttended && (state.data?.state === "running" || (state.data === undefined && !isGone(state.error))) ? LOOK_MS : false,
  });
  const { data, error } = query;
  const state = data?.state;
  useEffect(() => {
    if (state !== undefined) void client.invalidateQueries({ queryKey: ["release", dataset] });
    if (kind === "release" && state === "done") void client.invalidateQueries({ queryKey: ["holdings"] });
  }, [client, dataset, kind, state]);
  return {
    kind,
    study: id === null || isGone(error) ? null : (data ?? null),
    isRunning: id !== null && !isGone(error) && state === "running",
    isLost: id !== null && isGone(error),
    isAway: id !== null && error !== null && !isGone(error),
    trouble,
    begin: async (wanted) => {
      setTrouble(null);
      try {
        const begun = await begin(dataset, wanted);
        client.setQueryData(studyQuery(begun.study).queryKey, beginning(begun.study, dataset, kind));
        setId(begun.study);
        return true;
      } catch (refused) {
        setTrouble(sentence(refused));
        return false;
      }
    },
    adopt: setId,
    stop: () => {
      if (id === null) return;
      stop(id).then(
        () => void query.refetch(),
        (refused: unknown) => setTrouble(sentence(refused)),
      );
    },
    forget: () => {
      setTrouble(null);
      setId(null);
    },
  };
}

/** What is known of a study before it was asked about for the first time. */
const beginning = (study: string, dataset: string, kind: StudyKind): Study => ({
  study,
  dataset,
  kind,
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

const isGone = (error: Error | null): boolean => error instanceof Problem && error.isAbsent;
