/** Reads assistants, and says who may change them. */

import { queryOptions } from "@tanstack/react-query";

import { api, ask, type Me } from "../api/client";
import type { Assistant } from "./fields";

export const ASSISTANTS = ["assistants"];

export const assistantQueryOptions = (name: string) =>
  queryOptions({
    queryKey: [...ASSISTANTS, "one", name],
    queryFn: () => ask(api.GET("/api/assistants/{assistant_name}", { params: { path: { assistant_name: name } } })),
  });

/** Returns whether the person may read assistants. The API decides; this spares buttons. */
export const mayRead = (me: Me) => me.may.includes("use") && me.pools === null;

/** Returns whether the person may add assistants, or change this one. */
export function mayChange(me: Me, of?: Assistant): boolean {
  if (!me.may.includes("add") || !me.may_serve_calls || me.pools !== null) return false;
  if (!of || me.role === "admin") return of?.source !== "file";
  const isTeams = of.team !== "" && of.team === me.team && of.visibility !== "private";
  return of.source !== "file" && ((me.owner !== "" && of.owner === me.owner) || isTeams);
}
