import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import createClient from "openapi-fetch";

import { Problem } from "../api/client";
import type { components, paths } from "../api/console";

type Schemas = components["schemas"];
export type Role = Schemas["Role"];
export type Account = Schemas["Account"];
export type Who = Schemas["Who"];
export type Begun = Schemas["Begun"];
export type Invited = Schemas["Invited"];
export type AccountEvent = Schemas["AccountEvent"];
export type ColumnKind = Schemas["ColumnKind"];
export type Profile = Schemas["Profile"];
export type HolderShown = Schemas["HolderShown"];
export type Plan = Schemas["Plan"];
export type Answered = Schemas["Answered"];
export type SignedRequest = Schemas["SignedRequest"];
export type AskedLine = Schemas["AskedLine"];
export type Holding = Schemas["Holding"];
export type HoldingDetail = Schemas["HoldingDetail"];
export type Intake = Schemas["Intake"];
export type Arrival = Schemas["Arrival"];
export type FollowedSource = Schemas["FollowedSource"];
export type Way = Schemas["Way"];
export type PlatformConfiguration = Schemas["PlatformConfiguration"];
export type Proposal = Schemas["Proposal"];
export type HandedIn = Schemas["HandedIn"];
export type Devices = Schemas["Devices"];
export type FleetFigures = Schemas["FleetFigures"];
export type DeviceLine = Schemas["DeviceLine"];
export type DeviceAlert = Schemas["DeviceAlert"];
export type Show = Schemas["Show"];

/** A refusal of the site, with the word that the page goes by. */
export class Refusal extends Problem {
  constructor(
    status: number,
    message: string,
    readonly reason: string,
  ) {
    super(status, message);
  }

  override get place(): string {
    return "at this site";
  }
}

/** What the page does when a session has ended: it asks to sign in again. */
let onEnd: (() => void) | null = null;

export function whenSessionEnds(done: () => void): void {
  onEnd = done;
}

export const api = createClient<paths>({
  baseUrl: window.location.origin,
  credentials: "same-origin",
  cache: "no-store",
});

/** The answer's data, or the refusal that it tells. */
export async function said<T>(
  request: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await request;
  // Some answers have no content, which is all of their type.
  if (response.ok) return data as T;
  // Whatever stands between here and the node may answer too, and in words of its own.
  const { error: told, reason } = (error ?? {}) as Partial<Record<keyof Schemas["Problem"], unknown>>;
  const text = typeof told === "string" ? told : `the node answered with ${response.status}`;
  const word = typeof reason === "string" ? reason : "";
  if (word === "no-session") onEnd?.();
  throw new Refusal(response.status, text, word);
}

const of = (id: string) => ({ params: { path: { id } } });

export const site = {
  who: () => said(api.GET("/v1/console/session")),
  signIn: (body: Schemas["SignIn"]) => said(api.POST("/v1/console/session", { body })),
  signOut: () => said(api.DELETE("/v1/console/session")),
  accept: (code: string, password: string) =>
    said(api.POST("/v1/console/invitation", { body: { code, password } })),
  beginFactor: () => said(api.POST("/v1/console/factor")),
  confirmFactor: (code: string) => said(api.PUT("/v1/console/factor", { body: { code } })),
  password: (present: string, chosen: string) =>
    said(api.PUT("/v1/console/password", { body: { present, new: chosen } })),
  invite: (body: Schemas["InvitePerson"]) => said(api.POST("/v1/console/accounts", { body })),
  setRole: (id: string, role: Role) =>
    said(api.PUT("/v1/console/accounts/{id}/role", { ...of(id), body: { role } })),
  inviteAgain: (id: string) => said(api.POST("/v1/console/accounts/{id}/invitation", of(id))),
  removeFactor: (id: string) => said(api.DELETE("/v1/console/accounts/{id}/factor", of(id))),
  revoke: (id: string) => said(api.DELETE("/v1/console/accounts/{id}", of(id))),
  plan: (body: Schemas["PlanWanted"]) => said(api.POST("/v1/console/studio/plan", { body })),
  ask: (request: SignedRequest, question: string) =>
    said(api.POST("/v1/console/studio/questions", { body: { request, question } })),
  decide: (permit: string, decision: "grant" | "refuse") =>
    said(
      api.PUT("/v1/console/permits/{permit}", { params: { path: { permit } }, body: { decision } }),
    ),
  propose: (body: Schemas["ProposeConfiguration"]) => said(api.POST("/v1/console/proposals", { body })),
  openProposal: (file: string) => said(api.POST("/v1/console/proposals/open", { body: { file } })),
  endorse: (file: string) => said(api.POST("/v1/console/proposals/endorse", { body: { file } })),
  handIn: (file: string) => said(api.POST("/v1/console/proposals/submit", { body: { file } })),
};

/** The ledger's configuration in force. */
export const platform = queryOptions({
  queryKey: ["platform"],
  queryFn: () => said(api.GET("/v1/console/configuration")),
});

/** How many lines of a history are asked for at once. */
export const LINES = 25;

const page = (before: number | undefined) => ({
  params: { query: before === undefined ? { limit: LINES } : { limit: LINES, before } },
});

export const accounts = queryOptions({
  queryKey: ["accounts"],
  queryFn: () => said(api.GET("/v1/console/accounts")),
});

export const accountHistory = (before?: number) =>
  queryOptions({
    queryKey: ["account-history", before ?? null],
    queryFn: () => said(api.GET("/v1/console/history", page(before))),
  });

export const asked = (before?: number) =>
  queryOptions({
    queryKey: ["asked", before ?? null],
    queryFn: () => said(api.GET("/v1/console/studio/questions", page(before))),
  });

export const studio = queryOptions({
  queryKey: ["studio"],
  // The client takes pairs for lists of any length.
  queryFn: () => said(api.GET("/v1/console/studio")) as Promise<Schemas["Studio"]>,
  staleTime: 60_000,
});

export const holdings = queryOptions({
  queryKey: ["holdings"],
  queryFn: () => said(api.GET("/v1/console/datasets")),
});

export const holding = (dataset: string) =>
  queryOptions({
    queryKey: ["holding", dataset],
    queryFn: () => said(api.GET("/v1/console/datasets/{dataset}", { params: { path: { dataset } } })),
  });

export const intake = queryOptions({
  queryKey: ["intake"],
  queryFn: () => said(api.GET("/v1/console/intake")),
});

export const keys = queryOptions({
  queryKey: ["keys"],
  queryFn: () => said(api.GET("/v1/console/keys")),
});

export interface DevicesWanted {
  show?: Show | undefined;
  os?: string | undefined;
  after?: string | undefined;
}

export const devices = ({ show, os, after }: DevicesWanted) =>
  queryOptions({
    queryKey: ["devices", show ?? "all", os ?? null, after ?? null],
    queryFn: () => {
      const query = {
        limit: LINES,
        ...(show === undefined ? {} : { show }),
        ...(os === undefined ? {} : { os }),
        ...(after === undefined ? {} : { after }),
      };
      return said(api.GET("/v1/console/devices", { params: { query } }));
    },
    placeholderData: keepPreviousData,
  });
