import { queryOptions } from "@tanstack/react-query";

import { Problem } from "../api/client";

export type Role = "administrator" | "researcher" | "steward" | "auditor";

export interface Account {
  id: string;
  login: string;
  name: string;
  role: Role;
  member: string;
  bound: { key: string; certificate: string } | null;
  state: "invited" | "active" | "revoked";
  second_factor: boolean;
  created: string;
}

export interface Who {
  account: Account;
  strength: "full" | "enrolment";
  expires: string;
  holder: string;
  ledger: string | null;
}

export interface Begun {
  uri: string;
  secret: string;
  recovery: string[];
}

export interface Invited {
  account: Account;
  code: string;
  expires: string;
}

export interface AccountEvent {
  number: number;
  at: string;
  account: string;
  by: string;
  kind: string;
}

export type ColumnKind =
  | { number: [low: number, high: number, decimals: number] }
  | { instant: [low: number, high: number, decimals: number] }
  | { category: string[] }
  | "open";

export interface Profile {
  unit_column: string;
  unit: string;
  contribution: [number, number];
  rows_per_unit: string;
  columns: Record<string, ColumnKind>;
}

export interface HolderShown {
  holder: string;
  code: string | null;
  profiles: Record<string, Profile>;
  unreachable: string | null;
}

export interface Studio {
  ledger: string;
  now: string;
  holders: HolderShown[];
}

export type ExpectedError =
  | { value: { standard_error: number; half_width: number } }
  | { "at-rows": { rows: number; standard_error: number; half_width: number } }
  | { rank: { standard_error: number; half_width: number } };

export interface Plan {
  text: string;
  sql: string | null;
  dataset: string;
  columns: string[];
  uncovered: string[];
  purpose: string;
  code: string;
  rho: number;
  epsilon: number;
  delta: number;
  epsilon_left: number;
  expected_error: ExpectedError;
}

export interface Answered {
  deal: string;
  message: string;
  salt: string;
  receipt: { id: string; transaction: string; block: number; time: string; file: string };
  repeated: boolean;
  epsilon_spent: number;
  epsilon_left: number;
  delta: number;
}

export interface AskedLine {
  number: number;
  at: string;
  account: string;
  permit: string;
  dataset: string;
  question: string;
  outcome:
    | { ended: "sent" }
    | { ended: "answered"; deal: string; receipt: string; micro_rho: number }
    | { ended: "failed"; class: string };
}

export interface Holding {
  dataset: string;
  version?: number;
  created?: string;
  rows?: number;
  bytes?: number;
  files?: number;
  locked: string | null;
  quarantine: { dataset: string; rows: number | null } | null;
  profiled: boolean;
}

export interface KeysShown {
  store: string | null;
  warnings: string[];
  keys: {
    name: string;
    state: "active" | "revoked";
    versions: { version: number; created: string }[];
  }[];
  revocation_seconds: number;
}

/** A refusal of the site, with the word that the page goes by. */
export class Refusal extends Problem {
  constructor(
    status: number,
    message: string,
    readonly reason: string,
  ) {
    super(status, message);
  }
}

/** What the page does when a session has ended: it asks to sign in again. */
let onEnd: (() => void) | null = null;

export function whenSessionEnds(done: () => void): void {
  onEnd = done;
}

async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const response = await fetch(`/v1/console/${path}`, {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    credentials: "same-origin",
    cache: "no-store",
  });
  if (response.status === 204) return undefined as T;
  const said: unknown = await response.json().catch(() => null);
  if (response.ok) return said as T;
  const { error, reason } = (said ?? {}) as { error?: unknown; reason?: unknown };
  const text = typeof error === "string" ? error : `the node answered with ${response.status}`;
  const word = typeof reason === "string" ? reason : "";
  if (word === "no-session") onEnd?.();
  throw new Refusal(response.status, text, word);
}

export const site = {
  who: () => ask<Who>("GET", "session"),
  signIn: (typed: { login: string; password: string; code?: string; recovery?: string }) =>
    ask<Who>("POST", "session", typed),
  signOut: () => ask<void>("DELETE", "session"),
  accept: (code: string, password: string) => ask<Who>("POST", "invitation", { code, password }),
  beginFactor: () => ask<Begun>("POST", "factor"),
  confirmFactor: (code: string) => ask<Who>("PUT", "factor", { code }),
  password: (present: string, chosen: string) =>
    ask<Who>("PUT", "password", { present, new: chosen }),
  invite: (wanted: { login: string; name: string; role: Role; member?: string; key?: string }) =>
    ask<Invited>("POST", "accounts", wanted),
  setRole: (id: string, role: Role) => ask<void>("PUT", `accounts/${id}/role`, { role }),
  inviteAgain: (id: string) => ask<Invited>("POST", `accounts/${id}/invitation`),
  removeFactor: (id: string) => ask<void>("DELETE", `accounts/${id}/factor`),
  revoke: (id: string) => ask<void>("DELETE", `accounts/${id}`),
  plan: (wanted: {
    holder: string;
    permit: string;
    sql: string;
    epsilon: number;
    mechanism: "gaussian" | "laplace";
  }) => ask<Plan>("POST", "studio/plan", wanted),
  ask: (request: unknown, question: string) =>
    ask<Answered>("POST", "studio/questions", { request, question }),
  decide: (permit: string, decision: "grant" | "refuse") =>
    ask<{ permit: string }>("PUT", `permits/${permit}`, { decision }),
};

export const accounts = queryOptions({
  queryKey: ["accounts"],
  queryFn: () => ask<Account[]>("GET", "accounts"),
});

export const accountHistory = (before?: number) =>
  queryOptions({
    queryKey: ["account-history", before ?? null],
    queryFn: () =>
      ask<AccountEvent[]>("GET", `history?limit=25${before === undefined ? "" : `&before=${before}`}`),
  });

export const asked = (before?: number) =>
  queryOptions({
    queryKey: ["asked", before ?? null],
    queryFn: () =>
      ask<AskedLine[]>(
        "GET",
        `studio/questions?limit=25${before === undefined ? "" : `&before=${before}`}`,
      ),
  });

export const studio = queryOptions({
  queryKey: ["studio"],
  queryFn: () => ask<Studio>("GET", "studio"),
  staleTime: 60_000,
});

export const holdings = queryOptions({
  queryKey: ["holdings"],
  queryFn: () => ask<Holding[]>("GET", "datasets"),
});

export const keys = queryOptions({
  queryKey: ["keys"],
  queryFn: () => ask<KeysShown>("GET", "keys"),
});
