import type { Schemas } from "../api/client";
import { text } from "../text";
import { isSame } from "../values";

export type Site = Schemas["SiteRead"];
export type SiteVersion = Schemas["SiteVersionRead"];
export type SiteDraft = { -readonly [K in keyof Schemas["SiteUpdate"]]?: Schemas["SiteUpdate"][K] } & { name?: string };

export const SITES = ["sites"];

/** What a restored version leaves as it is. */
const KEPT = ["name", "is_active"];

/** Returns the fields that become others when a version is restored. Pure. */
export function differencesFrom(site: Site, version: SiteVersion): { field: string; before: unknown; after: unknown }[] {
  const [before, after] = [site as Record<string, unknown>, version as Record<string, unknown>];
  return Object.keys(text.sites.fields)
    .filter((field) => !KEPT.includes(field) && !isSame(before[field], after[field]))
    .map((field) => ({ field, before: before[field], after: after[field] }));
}

/** Returns the line for the pages of a site. Pure. */
export function tagOf(server: string, key: string): string {
  return `<script src="${server}/widget.js" data-site="${key}" async></script>`;
}

export function frameOf(server: string, key: string): string {
  return `<iframe src="${server}/embed/${key}" allow="microphone" title="Ask us"></iframe>`;
}
