import createClient, { type Middleware } from "openapi-fetch";

import type { components, paths } from "./explorer";
import { token } from "./session";

type Schemas = components["schemas"];
export type Overview = Schemas["Overview"];
export type BlockLine = Schemas["BlockLine"];
export type BlockDetail = Schemas["BlockDetail"];
export type TransactionLine = Schemas["TransactionLine"];
export type TransactionDetail = Schemas["TransactionDetail"];
export type About = Schemas["About"];
export type MemberLine = Schemas["MemberLine"];
export type DatasetLine = Schemas["DatasetLine"];
export type PermitLine = Schemas["PermitLine"];
export type ReceiptLine = Schemas["ReceiptLine"];
export type Loss = Schemas["Loss"];
export type Found = Schemas["Found"];
export type Statistics = Schemas["Statistics"];
export type Configuration = Schemas["Configuration"];

/** What an answer other than success says. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }

  /** Whether the token is missing or wrong, or the certificate does not count any more. */
  get isRefused(): boolean {
    return this.status === 401 || this.status === 403;
  }

  /** Where something is not that is absent. */
  get place(): string {
    return "on this ledger";
  }

  get isAbsent(): boolean {
    return this.status === 404;
  }
}

const authorise: Middleware = {
  onRequest({ request }) {
    const shown = token();
    if (shown !== null) request.headers.set("Authorization", `Bearer ${shown}`);
    return request;
  },
};

export const api = createClient<paths>({ baseUrl: window.location.origin });
api.use(authorise);

async function problem(response: Response): Promise<Problem> {
  const body: unknown = await response.json().catch(() => null);
  const { problem, error } = (body ?? {}) as { problem?: unknown; error?: unknown };
  const said = problem ?? error;
  const text = typeof said === "string" ? said : `the validator answered with ${response.status}`;
  return new Problem(response.status, text);
}

/** The answer's data, or the problem that it tells. */
export async function answered<T>(
  request: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await request;
  if (data !== undefined) return data;
  const told = (error ?? {}) as { problem?: unknown; error?: unknown };
  const said = told.problem ?? told.error;
  const text = typeof said === "string" ? said : `the validator answered with ${response.status}`;
  throw new Problem(response.status, text);
}

async function fetched(path: string, signal?: AbortSignal): Promise<Response> {
  const headers = new Headers();
  const shown = token();
  if (shown !== null) headers.set("Authorization", `Bearer ${shown}`);
  const response = await fetch(path, { headers, signal: signal ?? null });
  if (!response.ok) throw await problem(response);
  return response;
}

/** An answer in CBOR, as its bytes. */
export async function bytes(path: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetched(`/v1/explorer/${path}`)).arrayBuffer());
}

/** The body of an answer that does not end. */
export async function stream(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const { body } = await fetched(`/v1/explorer/${path}`, signal);
  if (body === null) throw new Problem(502, "the validator sent nothing");
  return body;
}
