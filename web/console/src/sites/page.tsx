/** The sites whose visitors may use an assistant: made, limited, switched off, and the line for their pages. */

import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask, nextOffset, nextPage } from "../api/client";
import { cost } from "../format";
import { useMe } from "../session";
import { text } from "../text";
import { Badge, Button, Empty, Trouble, Unreadable } from "../ui/kit";
import { Rows } from "../ui/rows";
import { useToasts } from "../ui/toasts";
import { SiteEditor } from "./editor";
import { SITES, type Site } from "./queries";
import { SiteTag } from "./tag";

const words = text.sites;
const PAGE = 200;

export function SitesPage() {
  const me = useMe();
  if (!me.may.includes("administer")) return <Empty title={words.title}>{words.forAdmins}</Empty>;
  return <Sites />;
}

function Sites() {
  const [opened, setOpened] = useState<{ kind: "add" } | { kind: "edit" | "tag"; of: Site } | null>(null);
  const found = useInfiniteQuery({
    queryKey: [...SITES, "list"],
    queryFn: ({ pageParam }) => ask(api.GET("/api/sites", { params: { query: { limit: PAGE, offset: pageParam } } })),
    initialPageParam: 0,
    getNextPageParam: nextOffset,
    refetchInterval: 15_000,
  });
  const pages = found.data?.pages ?? [];
  const items = pages.flatMap((page) => page.items);
  const openTag = (of: Site) => setOpened({ kind: "tag", of });
  const close = () => setOpened(null);
  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        <Button kind="main" onClick={() => setOpened({ kind: "add" })}>
          {words.add}
        </Button>
      </div>
      {found.isError && <Trouble error={found.error} onRetry={() => void found.refetch()} />}
      <Unreadable reasons={Object.assign({}, ...pages.map((page) => page.unreadable))} />
      {found.isPending && <p className="waiting">{text.loading}</p>}
      {found.isSuccess && !items.length && <Empty title={words.emptyTitle}>{words.empty}</Empty>}
      {items.length > 0 && (
        <Rows
          label={words.title}
          columns={[...Object.values(words.columns), <span key="change" className="hidden">{words.change}</span>]}
          items={items}
          row={(site) => <Row of={site} onEdit={() => setOpened({ kind: "edit", of: site })} onTag={() => openTag(site)} />}
          onEnd={nextPage(found)}
        />
      )}
      {opened?.kind === "add" && <SiteEditor onClose={close} onStored={openTag} />}
      {opened?.kind === "edit" && <SiteEditor key={opened.of.name} of={opened.of} onClose={close} onStored={close} />}
      {opened?.kind === "tag" && <SiteTag of={opened.of} onClose={close} onRotated={openTag} />}
    </>
  );
}

function Row({ of, onEdit, onTag }: { of: Site; onEdit: () => void; onTag: () => void }) {
  const change = useSwitch();
  return (
    <>
      <td>
        <Button kind="link" onClick={onEdit}>
          {of.name}
        </Button>
      </td>
      <td>
        <Button kind="link" onClick={onTag}>
          {of.key}
        </Button>
      </td>
      <td>{of.assistant}</td>
      <td className="cut" title={of.origins.join(", ")}>
        {of.origins.join(", ")}
      </td>
      <td>{of.spend_per_day ? words.spent(cost(of.spent_today), cost(of.spend_per_day)) : cost(of.spent_today)}</td>
      <td>
        <Badge tone={of.is_active ? "good" : "plain"}>{of.is_active ? words.active : words.inactive}</Badge>
      </td>
      <td>
        <Button kind="link" aria-label={`${of.is_active ? words.off : words.on}: ${of.name}`} onClick={() => change.mutate({ of, isActive: !of.is_active })}>
          {of.is_active ? words.off : words.on}
        </Button>
      </td>
    </>
  );
}

/** Switches a site on or off, with an undo. */
function useSwitch() {
  const queries = useQueryClient();
  const toasts = useToasts();
  const change = useMutation({
    mutationFn: ({ of, isActive }: { of: Site; isActive: boolean }) => ask(api.PATCH("/api/sites/{site_name}", { params: { path: { site_name: of.name } }, body: { is_active: isActive } })),
    onSuccess: (_, { of, isActive }) => toasts.say((isActive ? words.switchedOn : words.switchedOff)(of.name), () => change.mutate({ of, isActive: !isActive })),
    onError: (error) => toasts.fail(error),
    onSettled: () => queries.invalidateQueries({ queryKey: SITES }),
  });
  return change;
}
