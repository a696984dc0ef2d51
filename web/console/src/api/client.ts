/** Asks the management API. Its types are generated from openapi.json. */

import type { InfiniteQueryObserverResult } from "@tanstack/react-query";
import createClient from "openapi-fetch";

import { compareClock } from "../clock";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Connection = Schemas["ConnectionRead"];
export type ConnectionCreate = Schemas["ConnectionCreate"];
export type ConnectionUpdate = Schemas["ConnectionUpdate"];
export type TestResult = Schemas["ConnectionTestResult"];
export type Call = Schemas["CallRead"];
export type CallItem = Schemas["CallItemRead"];
export type Figures = Schemas["Figures"];
export type Me = Schemas["MeRead"];
export type Action = Me["may"][number];
type ProblemBody = Schemas["Problem"];

/** A problem document of the API (RFC 9457), or a server that does not answer. */
export class Problem extends Error {
  readonly status: number;
  readonly type: string;
  readonly body: Partial<ProblemBody>;

  constructor(status: number, body: Partial<ProblemBody>) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.type = body.type ?? "about:blank";
    this.body = body;
  }

  /** What is wrong with each field of a form. */
  get fields(): Record<string, string> {
    const errors = this.body.errors ?? [];
    const named = Object.fromEntries(errors.map((one) => [one.field, one.message]));
    return this.body.field ? { ...named, [this.body.field]: this.message } : named;
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, headers: { "Content-Type": "application/json" } });

/** Returns the data of an answer. Throws a Problem if the API, or the network, has refused. */
export async function ask<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let got;
  try {
    got = await answer;
  } catch {
    throw new Problem(0, { detail: "The server does not answer. Check that it runs; then try again." });
  }
  compareClock(got.response.headers.get("date"));
  if (!got.response.ok) throw new Problem(got.response.status, (got.error as Partial<ProblemBody>) || {});
  return got.data as T;
}

/** Returns the offset of the next page. Rows that the server cannot read are no items, but have their places. */
export function nextOffset({ offset, limit, total }: Pick<Schemas["CallPage"], "offset" | "limit" | "total">): number | undefined {
  return offset + limit < total ? offset + limit : undefined;
}

/**
 * Returns the way to ask for the next page of a list; undefined: there is none, or not now. After a refusal the list is
 * read anew first: while its end is in view, it would ask without a pause.
 */
export function nextPage(found: Pick<InfiniteQueryObserverResult, "hasNextPage" | "fetchStatus" | "isError" | "fetchNextPage">): (() => void) | undefined {
  return found.hasNextPage && found.fetchStatus === "idle" && !found.isError ? () => void found.fetchNextPage() : undefined;
}
