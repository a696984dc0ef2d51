/** What was asked, how fast it was answered, what failed, and what it cost. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";

import { api, ask, type Figures } from "../api/client";
import { now } from "../clock";
import { connectionQueryOptions } from "../connections/queries";
import { compact, cost, count, seconds } from "../format";
import { clean } from "../search";
import { useMay } from "../session";
import { text } from "../text";
import { CsvButton } from "../ui/csv";
import { Badge, Button, Card, Choice, Empty, Trouble } from "../ui/kit";
import { BehindLink } from "./behind";
import { CallEnds, share } from "./calls";
import { Chart } from "./chart";
import { Compare, type GroupName } from "./compare";
import { bucketOf, usageQuery, type Behind, type UsageRange } from "./range";
import { bars, tokens } from "./series";

const route = getRouteApi("/usage");
const words = text.usage;
const HOUR = 3_600_000;
const { day: _usual, ...RANGES } = words.ranges;
const { attempts: _plain, ...MEASURES } = words.measures;

export function UsagePage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const may = useMay();
  const hour = Math.floor(now() / HOUR);
  const query = useMemo(() => usageQuery(search, (hour + 1) * HOUR), [search, hour]);
  const bucket = bucketOf(search);
  const sums = useQuery({ queryKey: ["usage", "sum", query], queryFn: () => ask(api.GET("/api/analytics/summary", { params: { query } })), placeholderData: (before) => before });
  const series = useQuery({
    queryKey: ["usage", "series", query],
    queryFn: () => ask(api.GET("/api/analytics/timeseries", { params: { query: { ...query, bucket } } })),
    placeholderData: (before) => before,
  });
  const set = (changed: Partial<UsageRange>) => void navigate({ search: (before) => clean({ ...before, ...changed }) as UsageRange, replace: true });
  const broken = [sums, series].find((one) => one.isError);
  const measure = search.show ?? "attempts";
  // By assistant, figures are of all connections together: with one of the two, the other cannot be compared.
  const { connection: _connection, assistant: _assistant, ...others } = words.groups;
  const offered: Partial<Record<GroupName, string>> = {
    ...(search.assistant || search.connection ? {} : { connection: words.groups.connection }),
    ...others,
    ...(sums.data?.assistants.length ? { assistant: words.groups.assistant } : {}),
  };
  const by = (search.by && search.by in offered ? search.by : Object.keys(offered)[0]) as GroupName;
  const figures = sums.data?.figures;
  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        <Choice label={words.range} value={search.range} options={RANGES} usual={words.ranges.day} onChange={(range) => set({ range } as Partial<UsageRange>)} />
        <Choice label={words.integration} value={search.integration} options={words.integrations} onChange={(integration) => set({ integration } as Partial<UsageRange>)} />
        <Narrowed search={search} set={set} />
      </div>
      {broken?.error && <Trouble error={broken.error} onRetry={() => void broken.refetch()} />}
      {sums.isPending && <p className="waiting">{text.loading}</p>}
      {figures && <Cards of={figures} search={search} />}
      {figures && !figures.attempts && <Empty>{words.empty}</Empty>}
      {sums.data && figures?.attempts ? (
        <>
          {series.data && (
            <section>
              <div className="title">
                <h2>{words.overTime}</h2>
                <Choice label={words.measure} value={search.show} options={MEASURES} usual={words.measures.attempts} onChange={(show) => set({ show } as Partial<UsageRange>)} />
              </div>
              <Chart items={bars(series.data.items, series.data.since, series.data.until, series.data.bucket, measure)} measure={measure} />
              <CsvButton
                name="usage-over-time"
                columns={[words.time, ...Object.values(words.columns)]}
                rows={() => series.data.items.map(({ at, figures: one }) => [at ?? "", one.requests ?? 0, one.attempts ?? 0, one.failed ?? 0, one.failovers ?? 0, one.hedges_won ?? 0, one.resumes ?? 0, one.silence_avoided ?? 0, one.ttft?.p50 ?? "", one.ttft?.p95 ?? "", tokens(one), one.cost ?? 0])}
              />
            </section>
          )}
          <section className="pair">
            <Times of={figures} />
            <Outcomes of={figures} search={search} />
          </section>
          <section>
            <div className="title">
              <h2>{words.compare}</h2>
              <label className="choice">
                <span>{words.by}</span>
                <select value={by} onChange={(event) => set({ by: event.target.value as GroupName })}>
                  {Object.entries(offered).map(([name, title]) => (
                    <option key={name} value={name}>
                      {title}
                    </option>
                  ))}
                </select>
              </label>
            </div>
            <Compare by={by} query={query} summary={sums.data} search={search} onNarrow={set} />
          </section>
        </>
      ) : null}
      {may("administer") && !search.pool && !search.connection && (search.integration ?? "livekit") === "livekit" && <CallEnds search={search} query={query} />}
    </>
  );
}

function Narrowed({ search, set }: { search: UsageRange; set: (changed: Partial<UsageRange>) => void }) {
  const connection = useQuery({ ...connectionQueryOptions(search.connection ?? ""), enabled: Boolean(search.connection) });
  const shown = { assistant: search.assistant, pool: search.pool, connection: search.connection && (connection.data?.name ?? words.removed) };
  return (
    <>
      {(Object.keys(shown) as (keyof typeof shown)[])
        .filter((name) => shown[name])
        .map((name) => (
          <Badge key={name}>
            {words.groups[name]}: {name === "connection" && connection.data ? <Link to="/connections/$id" params={{ id: connection.data.id }}>{shown[name]}</Link> : shown[name]}
            <Button kind="link" aria-label={words.anyOf(words.groups[name])} onClick={() => set({ [name]: undefined } as Partial<UsageRange>)}>
              ×
            </Button>
          </Badge>
        ))}
    </>
  );
}

const CARDS: [keyof typeof words.cards, (figures: Figures) => string, Behind?][] = [
  ["requests", (of) => count(of.requests), {}],
  ["first", (of) => `${seconds(of.ttft?.p50)} / ${seconds(of.ttft?.p95)}`],
  ["silence", (of) => seconds(of.silence_avoided), { avoided_silence: true }],
  ["failed", (of) => count(of.failed), { outcome: "failed" }],
  ["failovers", (of) => count(of.failovers), { role: "failover" }],
  ["hedges", (of) => count(of.hedges_won), { role: "hedge" }],
  ["resumes", (of) => count(of.resumes), { role: "resume" }],
  ["tokens", (of) => compact(tokens(of))],
  ["cost", (of) => cost(of.cost)],
];

function Cards({ of, search }: { of: Figures; search: UsageRange }) {
  return (
    <div className="cards">
      {CARDS.map(([name, shown, behind]) => (
        <Card key={name} label={words.cards[name]} value={behind ? <BehindLink search={search} behind={behind} shown={shown(of)} /> : shown(of)} />
      ))}
    </div>
  );
}

const QUANTILES = ["p50", "p90", "p95", "p99"] as const;

function Times({ of }: { of: Figures }) {
  return (
    <div>
      <h2>{words.times}</h2>
      <table>
        <thead>
          <tr>
            <td />
            {QUANTILES.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {(["ttft", "ttfc"] as const).map((name) => (
            <tr key={name}>
              <th scope="row">{words.timesOf[name]}</th>
              {QUANTILES.map((quantile) => (
                <td key={quantile}>{seconds(of[name]?.[quantile])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Outcomes({ of, search }: { of: Figures; search: UsageRange }) {
  const outcomes = Object.entries(of.outcomes ?? {}).sort(([, one], [, other]) => other - one);
  return (
    <div>
      <h2>{words.outcomes}</h2>
      <CsvButton name="outcomes" columns={[words.outcome, words.columns.attempts]} rows={() => outcomes} />
      <table>
        <tbody>
          {outcomes.map(([outcome, attempts]) => (
            <tr key={outcome}>
              <th scope="row">{(text.call.outcomes as Record<string, string>)[outcome] ?? outcome}</th>
              <td>
                <BehindLink search={search} behind={{ outcome }} shown={count(attempts)} />
              </td>
              <td>{share(attempts, of.attempts)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
