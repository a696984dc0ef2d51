/** Compares connections, pools, assistants or askers by their figures. */

import { useInfiniteQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { api, ask, nextOffset, nextPage, type Figures, type Schemas } from "../api/client";
import { compact, cost, count, seconds } from "../format";
import { clean } from "../search";
import { text } from "../text";
import { Button, Trouble } from "../ui/kit";
import { CsvButton, type CsvRows } from "../ui/csv";
import { Rows } from "../ui/rows";
import { BehindLink } from "./behind";
import type { Behind, UsageRange, usageQuery } from "./range";
import { tokens, type Group } from "./series";

const words = text.usage;
const PAGE = 40;
/** Connections that one request for a file asks for. */
const FILE_PAGE = 200;
type Query = ReturnType<typeof usageQuery>;
export type GroupName = keyof typeof words.groups;

interface CompareProps {
  by: GroupName;
  query: Query;
  summary: Schemas["UsageSummary"];
  search: UsageRange;
  /** Called with the group that the page is to show alone. */
  onNarrow: (changed: Partial<UsageRange>) => void;
}

export function Compare(props: CompareProps) {
  const { by, summary } = props;
  if (by === "connection") return <ByConnection {...props} />;
  const items = summary[GROUPS[by]];
  return <Table {...props} items={items} rows={() => items.map(cells(by))} />;
}

const GROUPS = { pool: "pools", assistant: "assistants", integration: "integrations" } as const;

function ByConnection(props: CompareProps) {
  const { connection_id: _, ...query } = props.query;
  const page = (offset: number, limit: number) => ask(api.GET("/api/analytics/connections", { params: { query: clean({ ...query, offset, limit }) } }));
  const found = useInfiniteQuery({
    queryKey: ["usage", "connections", query],
    queryFn: ({ pageParam }) => page(pageParam, PAGE),
    initialPageParam: 0,
    getNextPageParam: nextOffset,
    placeholderData: (before) => before,
  });
  async function rows(): Promise<CsvRows> {
    const all: CsvRows = [];
    for (;;) {
      const { items, total } = await page(all.length, FILE_PAGE);
      all.push(...items.map(cells("connection")));
      if (!items.length || all.length >= total) return all;
    }
  }
  if (found.isError) return <Trouble error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return <p className="waiting">{text.loading}</p>;
  const items = found.data.pages.flatMap((one) => one.items);
  return (
    <>
      <Table {...props} items={items} rows={rows} onEnd={nextPage(found)} />
      <p className="hint">{text.more(items.length, found.data.pages.at(-1)?.total ?? items.length)}</p>
    </>
  );
}

/** The columns behind the name: a figure for people, the same for a file, and the calls behind it. */
const COLUMNS: Record<keyof typeof words.columns, { of: (figures: Figures) => number | undefined; shown: (value: number | undefined) => string; behind?: Behind }> = {
  requests: { of: (one) => one.requests, shown: count, behind: {} },
  attempts: { of: (one) => one.attempts, shown: count },
  failed: { of: (one) => one.failed, shown: count, behind: { outcome: "failed" } },
  failovers: { of: (one) => one.failovers, shown: count, behind: { role: "failover" } },
  hedges: { of: (one) => one.hedges_won, shown: count, behind: { role: "hedge" } },
  resumes: { of: (one) => one.resumes, shown: count, behind: { role: "resume" } },
  silence: { of: (one) => one.silence_avoided, shown: seconds, behind: { avoided_silence: true } },
  p50: { of: (one) => one.ttft?.p50, shown: seconds },
  p95: { of: (one) => one.ttft?.p95, shown: seconds },
  tokens: { of: tokens, shown: compact },
  cost: { of: (one) => one.cost, shown: cost },
};
const NAMES = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[];

/** Returns what names a group, and what selects it. */
function nameOf(by: GroupName, group: Group): { name: string; value: string; behind: Behind } {
  if (by === "connection") {
    const value = group.connection_id ?? "";
    return { name: group.name ?? words.removed, value, behind: clean({ connection_id: value || undefined }) as Behind };
  }
  const value = group[by] ?? "";
  const name = by === "integration" ? ((words.integrations as Record<string, string>)[value] ?? words.unnamed.integration) : value || words.unnamed[by];
  return { name, value, behind: by === "integration" ? {} : (clean({ [by]: value || undefined }) as Behind) };
}

const cells =
  (by: GroupName) =>
  (group: Group): (string | number)[] => [nameOf(by, group).name, ...NAMES.map((column) => COLUMNS[column].of(group.figures) ?? "")];

function Table({ by, items, rows, search, onNarrow, onEnd }: CompareProps & { items: readonly Group[]; rows: () => CsvRows | Promise<CsvRows>; onEnd?: (() => void) | undefined }) {
  const columns = [words.groups[by], ...NAMES.map((name) => words.columns[name])];
  return (
    <>
      <CsvButton name={`usage-by-${by}`} columns={columns} rows={rows} />
      <Rows label={words.compared(words.groups[by])} columns={columns} items={items} row={(group) => <Row by={by} group={group} search={search} onNarrow={onNarrow} />} onEnd={onEnd} />
    </>
  );
}

function Row({ by, group, search, onNarrow }: { by: GroupName; group: Group; search: UsageRange; onNarrow: CompareProps["onNarrow"] }) {
  const { name, value, behind } = nameOf(by, group);
  // Programs are no calls, and a group without a name cannot be selected.
  const isOfCalls = by !== "integration" || value === "livekit";
  const linked = (figure: Behind | undefined, shown: string): ReactNode => (figure && isOfCalls && value ? <BehindLink search={search} behind={{ ...behind, ...figure }} shown={shown} /> : shown);
  return (
    <>
      <td>
        {value ? (
          <Button kind="link" title={words.only(name)} onClick={() => onNarrow({ [by]: value } as Partial<UsageRange>)}>
            {name}
          </Button>
        ) : (
          name
        )}
      </td>
      {NAMES.map((column) => {
        const { of, shown, behind: figure } = COLUMNS[column];
        const figures = of(group.figures);
        return <td key={column}>{figures ? linked(figure, shown(figures)) : shown(figures)}</td>;
      })}
    </>
  );
}
