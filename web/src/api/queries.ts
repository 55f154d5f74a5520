import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { answered, api, bytes, Problem } from "./client";
import { verifyBlock, verifyTransaction } from "../proof/verify";

const LINES = 25;

export interface TransactionFilter {
  method?: string | undefined;
  contract?: string | undefined;
  member?: string | undefined;
  dataset?: string | undefined;
  permit?: string | undefined;
  outcome?: "applied" | "refused" | undefined;
  before?: number | undefined;
}

export interface RecordFilter {
  dataset?: string | undefined;
  permit?: string | undefined;
  before?: number | undefined;
}

type Said<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the fields that are not set, which the API would take for empty ones. */
function said<T extends object>(filter: T): Partial<Said<T>> {
  const set = Object.entries(filter).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as Partial<Said<T>>;
}

export const overview = queryOptions({
  queryKey: ["overview"],
  queryFn: () => answered(api.GET("/v1/explorer/overview")),
});

export const statistics = queryOptions({
  queryKey: ["statistics"],
  queryFn: () => answered(api.GET("/v1/explorer/statistics")),
});

export const configuration = queryOptions({
  queryKey: ["configuration"],
  queryFn: () => answered(api.GET("/v1/explorer/configuration")),
});

export const blocks = (before?: number) =>
  queryOptions({
    queryKey: ["blocks", before ?? null],
    queryFn: () =>
      answered(api.GET("/v1/explorer/blocks", { params: { query: said({ before, limit: LINES }) } })),
    placeholderData: keepPreviousData,
  });

export const block = (name: string) =>
  queryOptions({
    queryKey: ["block", name],
    queryFn: () =>
      answered(api.GET("/v1/explorer/blocks/{block}", { params: { path: { block: name } } })),
  });

export const transactions = (filter: TransactionFilter, limit = LINES) =>
  queryOptions({
    queryKey: ["transactions", filter, limit],
    queryFn: () =>
      answered(api.GET("/v1/explorer/transactions", { params: { query: said({ ...filter, limit }) } })),
    placeholderData: keepPreviousData,
  });

export const transaction = (id: string) =>
  queryOptions({
    queryKey: ["transaction", id],
    queryFn: () =>
      answered(
        api.GET("/v1/explorer/transactions/{transaction}", { params: { path: { transaction: id } } }),
      ),
  });

export const members = (after?: string) =>
  queryOptions({
    queryKey: ["members", after ?? null],
    queryFn: () =>
      answered(api.GET("/v1/explorer/members", { params: { query: said({ after, limit: LINES }) } })),
    placeholderData: keepPreviousData,
  });

export const member = (id: string) =>
  queryOptions({
    queryKey: ["member", id],
    queryFn: () =>
      answered(api.GET("/v1/explorer/members/{member}", { params: { path: { member: id } } })),
  });

export const datasets = (after?: string) =>
  queryOptions({
    queryKey: ["datasets", after ?? null],
    queryFn: () =>
      answered(api.GET("/v1/explorer/datasets", { params: { query: said({ after, limit: LINES }) } })),
    placeholderData: keepPreviousData,
  });

export const dataset = (holder: string, name: string) =>
  queryOptions({
    queryKey: ["dataset", holder, name],
    queryFn: () =>
      answered(
        api.GET("/v1/explorer/datasets/{holder}/{dataset}", {
          params: { path: { holder, dataset: name } },
        }),
      ),
  });

export const permits = (filter: RecordFilter) =>
  queryOptions({
    queryKey: ["permits", filter],
    queryFn: () =>
      answered(
        api.GET("/v1/explorer/permits", { params: { query: said({ ...filter, limit: LINES }) } }),
      ),
    placeholderData: keepPreviousData,
  });

export const permit = (id: string) =>
  queryOptions({
    queryKey: ["permit", id],
    queryFn: () =>
      answered(api.GET("/v1/explorer/permits/{permit}", { params: { path: { permit: id } } })),
  });

export const receipts = (filter: RecordFilter) =>
  queryOptions({
    queryKey: ["receipts", filter],
    queryFn: () =>
      answered(
        api.GET("/v1/explorer/receipts", { params: { query: said({ ...filter, limit: LINES }) } }),
      ),
    placeholderData: keepPreviousData,
  });

export const receipt = (id: string) =>
  queryOptions({
    queryKey: ["receipt", id],
    queryFn: () =>
      answered(api.GET("/v1/explorer/receipts/{receipt}", { params: { path: { receipt: id } } })),
  });

export const optOuts = (after?: string) =>
  queryOptions({
    queryKey: ["opt-outs", after ?? null],
    queryFn: () =>
      answered(api.GET("/v1/explorer/opt-outs", { params: { query: said({ after, limit: LINES }) } })),
    placeholderData: keepPreviousData,
  });

export const search = (typed: string) =>
  queryOptions({
    queryKey: ["search", typed],
    queryFn: () => answered(api.GET("/v1/explorer/search", { params: { query: { q: typed } } })),
    enabled: typed.trim() !== "",
  });

// What is final does not change, so that one check serves for the tab's life.
const ONCE = { staleTime: Infinity, retry: false } as const;

async function unlessAbsent(path: string): Promise<Uint8Array | null> {
  try {
    return await bytes(path);
  } catch (error) {
    if (error instanceof Problem && error.isAbsent) return null;
    throw error;
  }
}

export const transactionProof = (id: string) =>
  queryOptions({
    queryKey: ["transaction-proof", id],
    queryFn: async () => {
      const [genesis, proof, envelope] = await Promise.all([
        bytes("genesis"),
        bytes(`transactions/${id}/proof`),
        unlessAbsent(`transactions/${id}/envelope`),
      ]);
      return { ...(await verifyTransaction(id, proof, genesis, envelope)), envelope };
    },
    ...ONCE,
  });

export const blockProof = (hash: string) =>
  queryOptions({
    queryKey: ["block-proof", hash],
    queryFn: async () => {
      const [genesis, proof] = await Promise.all([bytes("genesis"), bytes(`blocks/${hash}/proof`)]);
      return verifyBlock(hash, proof, genesis);
    },
    ...ONCE,
  });
