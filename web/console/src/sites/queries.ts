import type { Schemas } from "../api/client";

export type Site = Schemas["SiteRead"];
export type SiteDraft = { -readonly [K in keyof Schemas["SiteUpdate"]]?: Schemas["SiteUpdate"][K] } & { name?: string };

export const SITES = ["sites"];

/** Returns the line for the pages of a site. Pure. */
export function tagOf(server: string, key: string): string {
  return `<script src="${server}/widget.js" data-site="${key}" async></script>`;
}

export function frameOf(server: string, key: string): string {
  return `<iframe src="${server}/embed/${key}" allow="microphone" title="Ask us"></iframe>`;
}
