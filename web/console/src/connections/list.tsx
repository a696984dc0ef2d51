/** The list of connections: found, sorted, switched, and the ways to add more. */

import { useInfiniteQuery, useQueries } from "@tanstack/react-query";
import { getRouteApi, Link, useLocation } from "@tanstack/react-router";
import { useState } from "react";

import { api, ask, nextOffset, nextPage, type Connection } from "../api/client";
import { count, time } from "../format";
import { useMay, useMe } from "../session";
import { text } from "../text";
import { Badge, Button, Card, Choice, Empty, Trouble, Unreadable } from "../ui/kit";
import { Rows } from "../ui/rows";
import { StatusBadge, UseBadges } from "./badges";
import { ConnectionEditor } from "./editor";
import { connectionQuery, type ConnectionFilters } from "./filters";
import { ImportFile } from "./import";
import { Presets } from "./presets";
import { KEY, useSwitch } from "./queries";

const route = getRouteApi("/connections");
const PAGE = 200;
const words = text.connections;
const { priority: _usual, ...SORTS } = words.sorts;

export function ConnectionList() {
  const filters = route.useSearch();
  const navigate = route.useNavigate();
  const { hash } = useLocation();
  const may = useMay();
  const me = useMe();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [opened, setOpened] = useState<"" | "add" | "import">("");
  const change = useSwitch();
  const found = useInfiniteQuery({
    queryKey: [...KEY, "list", filters],
    queryFn: ({ pageParam }) => ask(api.GET("/api/connections", { params: { query: { ...connectionQuery(filters), limit: PAGE, offset: pageParam } } })),
    initialPageParam: 0,
    getNextPageParam: nextOffset,
    placeholderData: (before) => before,
    refetchInterval: 15_000,
  });
  const items = found.data?.pages.flatMap((page) => page.items) ?? [];
  const selected = items.filter(({ id }) => chosen.has(id));
  const isFiltered = Object.keys(filters).some((name) => name !== "sort" && name !== "order");
  // Those that are so already stay out of it, or an undo would change them.
  const turn = (isActive: boolean) => change.mutate({ of: selected.filter((one) => one.is_active !== isActive), isActive });
  const set = (changed: Partial<Record<keyof ConnectionFilters, string | undefined>>) =>
    void navigate({ search: (before) => ({ ...before, ...changed }) as ConnectionFilters, replace: true });
  const isAdding = opened === "add" || hash === "add";
  const close = () => {
    setOpened("");
    if (hash) void navigate({ search: true, hash: "", replace: true });
  };

  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        {may("add") && (
          <>
            <Button kind="main" onClick={() => setOpened("add")}>
              {words.add}
            </Button>
            <Button onClick={() => setOpened("import")}>{words.import}</Button>
          </>
        )}
        <a className="button plain" href="/api/connections/export" download="connections.json">
          {words.export}
        </a>
      </div>
      {!may("activate") && <p className="hint">{text.readOnly(me.role)}</p>}
      <Summary />
      <Filters filters={filters} set={set} reset={() => void navigate({ search: {} })} />
      <Unreadable reasons={found.data?.pages[0]?.unreadable} />
      {selected.length > 0 && (
        <div className="bulk">
          <span>{words.selected(selected.length)}</span>
          <Button onClick={() => turn(true)}>{words.activate}</Button>
          <Button onClick={() => turn(false)}>{words.deactivate}</Button>
          <Button kind="link" onClick={() => setChosen(new Set())}>
            {text.cancel}
          </Button>
        </div>
      )}
      {found.isError && <Trouble error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <p className="waiting">{text.loading}</p>}
      {found.isSuccess && !items.length && (isFiltered ? <Empty>{words.nothing}</Empty> : <Begin />)}
      {items.length > 0 && (
        <>
          <Rows
            label={words.title}
            columns={[<span key="chosen" className="hidden">{words.selected(selected.length)}</span>, ...Object.values(words.columns)]}
            items={items}
            row={(one) => (
              <Row
                of={one}
                isChosen={chosen.has(one.id)}
                onChoose={may("activate", one) ? () => setChosen((before) => toggled(before, one.id)) : undefined}
                onTag={(tag) => set({ tag })}
                onSwitch={may("activate", one) ? () => change.mutate({ of: [one], isActive: !one.is_active }) : undefined}
              />
            )}
            onEnd={nextPage(found)}
          />
          <p className="hint">{text.more(items.length, found.data?.pages.at(-1)?.total ?? items.length)}</p>
        </>
      )}
      {isAdding && <ConnectionEditor onClose={close} />}
      {opened === "import" && <ImportFile onClose={close} />}
    </>
  );
}

function toggled(before: ReadonlySet<string>, id: string): ReadonlySet<string> {
  const after = new Set(before);
  if (!after.delete(id)) after.add(id);
  return after;
}

function Row({ of, isChosen, onChoose, onTag, onSwitch }: { of: Connection; isChosen: boolean; onChoose: (() => void) | undefined; onTag: (tag: string) => void; onSwitch: (() => void) | undefined }) {
  return (
    <>
      <td>{onChoose && <input type="checkbox" checked={isChosen} aria-label={words.select(of.name)} onChange={onChoose} />}</td>
      <td className="name">
        <Link to="/connections/$id" params={{ id: of.id }}>
          {of.name}
        </Link>
        {of.tags.map((tag) => (
          <button key={tag} type="button" className="tag" onClick={() => onTag(tag)}>
            {tag}
          </button>
        ))}
      </td>
      <td className="cut" title={of.base_url}>
        {of.model_name || text.none}
      </td>
      <td>
        <StatusBadge of={of} />
      </td>
      <td>
        <UseBadges of={of} />
      </td>
      <td>{of.pool}</td>
      <td>{of.priority}</td>
      <td>
        {time(of.last_used_at)}
        {onSwitch && (
          <Button kind="link" aria-label={`${of.is_active ? words.deactivate : words.activate}: ${of.name}`} onClick={onSwitch}>
            {of.is_active ? words.deactivate : words.activate}
          </Button>
        )}
      </td>
    </>
  );
}

const SUMMARIES = [
  [words.summary.total, {}],
  [words.summary.active, { is_active: true }],
  [words.summary.livekit, { is_active: true, use_in_livekit: true }],
  [words.summary.mcp, { is_active: true, use_in_mcp: true }],
] as const;

function Summary() {
  const totals = useQueries({
    queries: SUMMARIES.map(([, query]) => ({
      queryKey: [...KEY, "total", query],
      queryFn: async () => (await ask(api.GET("/api/connections", { params: { query: { ...query, limit: 1 } } }))).total,
    })),
  });
  return (
    <div className="cards">
      {SUMMARIES.map(([label], index) => (
        <Card key={label} label={label} value={totals[index]?.data === undefined ? text.none : count(totals[index].data)} />
      ))}
    </div>
  );
}

function Filters({ filters, set, reset }: { filters: ConnectionFilters; set: (changed: Partial<Record<keyof ConnectionFilters, string | undefined>>) => void; reset: () => void }) {
  return (
    <search className="filters">
      <label className="choice grow">
        <span>{words.search}</span>
        <input type="search" placeholder={words.searchHint} maxLength={200} value={filters.text ?? ""} onChange={(event) => set({ text: event.target.value || undefined })} />
      </label>
      <Choice label={words.type} value={filters.type} options={text.editor.types} onChange={(type) => set({ type })} />
      <Choice label={words.use} value={filters.use} options={words.uses} onChange={(use) => set({ use })} />
      <Choice label={words.state} value={filters.state} options={words.states} onChange={(state) => set({ state })} />
      <Choice label={words.sort} value={filters.sort} options={SORTS} usual={words.sorts.priority} onChange={(sort) => set({ sort })} />
      <Button aria-pressed={filters.order === "desc"} onClick={() => set({ order: filters.order ? undefined : "desc" })}>
        {filters.order ? "↓" : "↑"}
        <span className="hidden">{words.sort}</span>
      </Button>
      {filters.tag && (
        <Badge>
          {words.tag}: {filters.tag}
        </Badge>
      )}
      {Object.keys(filters).length > 0 && (
        <Button kind="link" onClick={reset}>
          {words.reset}
        </Button>
      )}
    </search>
  );
}

function Begin() {
  const may = useMay();
  return (
    <Empty title={words.emptyTitle}>
      <p>{words.empty}</p>
      {may("add") && <Presets />}
    </Empty>
  );
}
