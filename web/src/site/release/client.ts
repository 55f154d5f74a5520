import { queryOptions } from "@tanstack/react-query";

import { api, said } from "../api";
import type { StudyWanted } from "./contract";
import type { Plan } from "./plan";

const of = (dataset: string) => ({ params: { path: { dataset } } });
const one = (study: string) => ({ params: { path: { study } } });

export const outset = (dataset: string) =>
  queryOptions({
    queryKey: ["release", dataset],
    queryFn: () => said(api.GET("/v1/console/releases/{dataset}", of(dataset))),
  });

export const study = (id: string) =>
  queryOptions({
    queryKey: ["study", id],
    queryFn: () => said(api.GET("/v1/console/studies/{study}", one(id))),
  });

export const readPlan = (dataset: string, plan: Plan) =>
  said(api.POST("/v1/console/releases/{dataset}/plan", { ...of(dataset), body: { plan } }));

export const begin = (dataset: string, wanted: StudyWanted) =>
  said(api.POST("/v1/console/releases/{dataset}/studies", { ...of(dataset), body: wanted }));

export const stop = (id: string) => said(api.DELETE("/v1/console/studies/{study}", one(id)));
