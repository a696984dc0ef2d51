/** The calls that go on, as they change, and those that have ended. */

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useCallback, useEffect, useRef, useState } from "react";

import { api, ask, nextOffset, nextPage, type Call } from "../api/client";
import { now } from "../clock";
import { connectionQueryOptions } from "../connections/queries";
import { length, time } from "../format";
import { clean } from "../search";
import { useMay } from "../session";
import { text } from "../text";
import { Badge, Button, Choice, Empty, Trouble } from "../ui/kit";
import { Rows } from "../ui/rows";
import { GIVEN, type CallFilters } from "./filters";
import { useCallStream, useCalmly, type CallNews } from "./live";
import { Workers } from "./workers";

const route = getRouteApi("/calls");
const words = text.calls;
const PAGE = 100;

export function CallBoard() {
  const may = useMay();
  if (!may("administer")) return <Empty title={words.title}>{words.forAdmins}</Empty>;
  return <Board />;
}

function Board() {
  const filters = route.useSearch();
  const navigate = route.useNavigate();
  const queries = useQueryClient();
  const now = useNow();
  const [live, setLive] = useState<ReadonlyMap<string, Call>>(new Map());
  const key = ["calls", "list", filters];
  const found = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => ask(api.GET("/api/calls", { params: { query: clean({ ...filters, limit: PAGE, offset: pageParam }) } })),
    initialPageParam: 0,
    getNextPageParam: nextOffset,
    placeholderData: (before) => before,
  });
  const known = useRef(new Map<string, Call["state"]>());
  const isSearch = useRef(false);
  const readAgain = useCalmly(useCallback(() => queries.invalidateQueries({ queryKey: ["calls", "list"] }), [queries]));
  isSearch.current = Boolean(filters.text);
  const onNews = useCallback(
    ({ changed, removed }: CallNews) => {
      // A row takes what changes from the stream; the list is read again when rows come or go, or may do so by their words.
      const isMoved = isSearch.current || removed.size > 0 || [...changed.values()].some(({ id, state }) => known.current.get(id) !== state);
      for (const { id, state } of changed.values()) known.current.set(id, state);
      setLive((before) => {
        const after = new Map(before);
        for (const [id, call] of changed) after.set(id, call);
        for (const id of removed) after.delete(id);
        return after;
      });
      if (isMoved) readAgain();
    },
    [readAgain],
  );
  const isLive = useCallStream(onNews);
  // A row stays where it is while its call changes: the order is that of the list.
  const items = (found.data?.pages.flatMap((page) => page.items) ?? []).map((call) => newer(call, live.get(call.id)));
  const going = [...live.values()].filter((call) => call.state !== "ended").length;
  const isFiltered = Object.keys(filters).length > 0;
  const set = (changed: Record<string, string | undefined>) => void navigate({ search: (before) => clean({ ...before, ...changed }) as typeof filters, replace: true });
  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        <Badge tone={going ? "good" : "plain"}>{words.live(going)}</Badge>
        <span className="hint" role="status">
          {isLive ? words.updates.live : words.updates.lost}
        </span>
      </div>
      <Workers />
      <search className="filters">
        <label className="choice grow">
          <span>{words.filters.search}</span>
          <input type="search" maxLength={200} value={filters.text ?? ""} onChange={(event) => set({ text: event.target.value || undefined })} />
        </label>
        <Choice label={words.filters.state} value={filters.state} options={words.states} onChange={(state) => set({ state })} />
        <Choice label={words.filters.kind} value={filters.kind} options={words.kinds} onChange={(kind) => set({ kind })} />
        <Given filters={filters} set={set} />
        {isFiltered && (
          <Button kind="link" onClick={() => void navigate({ search: {} })}>
            {text.connections.reset}
          </Button>
        )}
      </search>
      {found.isError && <Trouble error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <p className="waiting">{text.loading}</p>}
      {found.isSuccess && !items.length && <Empty title={isFiltered ? "" : words.emptyTitle}>{isFiltered ? words.nothing : words.empty}</Empty>}
      {items.length > 0 && (
        <Rows
          label={words.title}
          columns={Object.values(words.columns)}
          items={items}
          row={(call) => <Row of={call} now={now} />}
          onEnd={nextPage(found)}
        />
      )}
    </>
  );
}

/** The filters that a link has set, each with a way to take it away. */
function Given({ filters, set }: { filters: CallFilters; set: (changed: Record<string, undefined>) => void }) {
  const connection = useQuery({ ...connectionQueryOptions(filters.connection_id ?? ""), enabled: Boolean(filters.connection_id) });
  const shown = {
    ...filters,
    connection_id: filters.connection_id && (connection.data?.name ?? text.usage.removed),
    role: filters.role && text.call.attemptRoles[filters.role],
    outcome: filters.outcome === "failed" ? words.failed : filters.outcome && ((text.call.outcomes as Record<string, string>)[filters.outcome] ?? filters.outcome),
    avoided_silence: filters.avoided_silence && text.yes,
    started_from: filters.started_from && time(filters.started_from),
    started_to: filters.started_to && time(filters.started_to),
  };
  return (
    <>
      {GIVEN.filter((name) => shown[name]).map((name) => (
        <Badge key={name}>
          {words.given[name]}: {shown[name]}
          <Button kind="link" aria-label={words.anyOf(words.given[name])} onClick={() => set({ [name]: undefined })}>
            ×
          </Button>
        </Badge>
      ))}
    </>
  );
}

function newer(listed: Call, live: Call | undefined): Call {
  return live && Date.parse(live.updated_at) >= Date.parse(listed.updated_at) ? live : listed;
}

const TONES = { agent: "good", text: "good", handed_over: "warn", ended: "plain" } as const;

function Row({ of, now }: { of: Call; now: number }) {
  return (
    <>
      <td>
        <Link to="/calls/$id" params={{ id: of.id }}>
          {time(of.started_at)}
        </Link>
      </td>
      <td>{words.kinds[of.kind]}</td>
      <td>{of.assistant || words.defaultAssistant}</td>
      <td>
        <Badge tone={TONES[of.state]}>{words.states[of.state]}</Badge> <small>{of.reason}</small>
      </td>
      <td>{length(of.started_at, of.ended_at ? Date.parse(of.ended_at) : now)}</td>
      <td>{of.items}</td>
      <td className="cut">{of.worker || text.none}</td>
    </>
  );
}

/** Returns the time, anew each second. */
function useNow(): number {
  const [seen, setSeen] = useState(now);
  useEffect(() => {
    const timer = setInterval(() => setSeen(now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return seen;
}
