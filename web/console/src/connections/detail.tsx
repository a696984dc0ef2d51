/** One connection: how it is, how it was used, and who changed what. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";

import { api, ask, Problem, type Connection, type TestResult } from "../api/client";
import { now } from "../clock";
import { compact, cost, count, seconds, time } from "../format";
import { useMay } from "../session";
import { text } from "../text";
import { Badge, Button, Card, Dialog, Empty, Field, Trouble } from "../ui/kit";
import { ConfirmRemoval } from "../ui/confirm";
import { useToasts } from "../ui/toasts";
import { shown } from "../values";
import { StatusBadge, UseBadges } from "./badges";
import { ConnectionEditor } from "./editor";
import { HealthChart } from "./health_chart";
import { connectionQueryOptions, KEY, useSwitch } from "./queries";
import { TestReport } from "./test_report";

const route = getRouteApi("/connections/$id");
const words = text.detail;
const WEEK = 7 * 24 * 3_600_000;

export function ConnectionPage() {
  const { id } = route.useParams();
  const found = useQuery({ ...connectionQueryOptions(id), refetchInterval: 15_000 });
  if (found.isPending) return <p className="waiting">{text.loading}</p>;
  if (!found.data && found.error instanceof Problem && found.error.status === 404) return <Empty>{words.gone}</Empty>;
  if (!found.data) return <Trouble error={found.error as Error} onRetry={() => void found.refetch()} />;
  return <Detail key={id} of={found.data} />;
}

function Detail({ of }: { of: Connection }) {
  const may = useMay();
  const queries = useQueryClient();
  const change = useSwitch();
  const [opened, setOpened] = useState<"" | "edit" | "rotate" | "remove">("");
  const path = { connection_id: of.id };
  const test = useMutation({
    mutationFn: async () => (await ask<unknown>(api.POST("/api/connections/{connection_id}/test", { params: { path } }))) as TestResult,
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
  const close = () => setOpened("");
  return (
    <>
      <div className="title">
        <h1>{of.name}</h1>
        <StatusBadge of={of} />
        <UseBadges of={of} />
        {may("test", of) && (
          <Button disabled={test.isPending} onClick={() => test.mutate()}>
            {test.isPending ? text.editor.testing : words.test}
          </Button>
        )}
        {may("activate", of) && (
          <Button onClick={() => change.mutate({ of: [of], isActive: !of.is_active })}>{of.is_active ? text.connections.deactivate : text.connections.activate}</Button>
        )}
        {may("edit", of) && (
          <>
            <Button kind="main" onClick={() => setOpened("edit")}>
              {words.edit}
            </Button>
            <Button onClick={() => setOpened("rotate")}>{words.rotate}</Button>
          </>
        )}
        {may("remove", of) && (
          <Button kind="danger" onClick={() => setOpened("remove")}>
            {text.remove}
          </Button>
        )}
      </div>
      {of.status_reason && (
        <p className="hint">
          {words.reason}: {of.status_reason}
        </p>
      )}
      {test.data && <TestReport result={test.data} />}
      {test.isError && <Trouble error={test.error} />}
      <Facts of={of} />
      <Health of={of} />
      <Usage of={of} />
      <section>
        <h2>{words.history}</h2>
        {may("administer") ? <History of={of} /> : <p className="hint">{words.historyForAdmins}</p>}
      </section>
      {opened === "edit" && <ConnectionEditor of={of} onClose={close} />}
      {opened === "rotate" && <RotateKey of={of} onClose={close} />}
      {opened === "remove" && <Remove of={of} onClose={close} />}
    </>
  );
}

const FACTS = ["connection_type", "base_url", "model_name", "deployment", "region", "server", "pool", "priority", "weight", "tags", "timeout", "owner", "team", "visibility", "api_key_last4", "description"] as const;

function Facts({ of }: { of: Connection }) {
  return (
    <dl className="facts">
      {FACTS.filter((field) => shown(of[field]) !== text.none).map((field) => (
        <div key={field}>
          <dt>{text.editor.fields[field]}</dt>
          <dd>{shown(of[field])}</dd>
        </div>
      ))}
    </dl>
  );
}

function Health({ of }: { of: Connection }) {
  const health = useQuery({
    queryKey: [...KEY, "health", of.id],
    queryFn: () => ask(api.GET("/api/connections/{connection_id}/health", { params: { path: { connection_id: of.id }, query: { limit: 200 } } })),
    refetchInterval: 15_000,
  });
  const checks = health.data?.items ?? [];
  return (
    <section>
      <h2>{words.health}</h2>
      {health.isError && <Trouble error={health.error} />}
      {health.isSuccess && !checks.length && <p className="hint">{words.noChecks}</p>}
      {checks.length > 0 && (
        <>
          <HealthChart checks={checks} />
          <table>
            <tbody>
              {checks.slice(0, 8).map((check) => (
                <tr key={check.at}>
                  <td>{time(check.at)}</td>
                  <td>{check.kind}</td>
                  <td>
                    <Badge tone={check.outcome === "ok" ? "good" : "bad"}>{check.outcome}</Badge>
                  </td>
                  <td>{seconds(check.latency)}</td>
                  <td>{check.detail}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </section>
  );
}

function Usage({ of }: { of: Connection }) {
  const usage = useQuery({
    queryKey: [...KEY, "usage", of.id],
    queryFn: () => {
      const query = { since: new Date(now() - WEEK).toISOString(), latest: 20 };
      return ask(api.GET("/api/connections/{connection_id}/usage", { params: { path: { connection_id: of.id }, query } }));
    },
  });
  const figures = usage.data?.figures;
  return (
    <section>
      <h2>{words.usage}</h2>
      {usage.isError && <Trouble error={usage.error} />}
      {figures && (
        <div className="cards">
          <Card label={text.usage.columns.requests} value={count(figures.attempts)} />
          <Card label={text.usage.columns.failed} value={count(figures.failed)} />
          <Card label={text.usage.cards.first} value={`${seconds(figures.ttft?.p50)} / ${seconds(figures.ttft?.p95)}`} />
          <Card label={text.usage.cards.tokens} value={compact((figures.tokens_in ?? 0) + (figures.tokens_out ?? 0))} />
          <Card label={text.usage.cards.cost} value={cost(figures.cost)} />
        </div>
      )}
      <h3>{words.attempts}</h3>
      {usage.data && !usage.data.latest.length && <p className="hint">{words.noAttempts}</p>}
      {usage.data && usage.data.latest.length > 0 && (
        <table>
          <tbody>
            {usage.data.latest.map((attempt) => (
              <tr key={`${attempt.reply_id} ${attempt.at} ${attempt.role}`}>
                <td>{time(attempt.at)}</td>
                <td>{attempt.role}</td>
                <td>
                  <Badge tone={attempt.outcome === "won" ? "good" : attempt.outcome in text.call.outcomes ? "plain" : "bad"}>{attempt.outcome}</Badge>
                </td>
                <td>{seconds(attempt.ttft)}</td>
                <td>{seconds(attempt.duration)}</td>
                <td>{compact(attempt.tokens_in + attempt.tokens_out)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function History({ of }: { of: Connection }) {
  const audit = useQuery({
    queryKey: [...KEY, "audit", of.id, of.version],
    queryFn: () => ask(api.GET("/api/audit", { params: { query: { target: of.id, limit: 50 } } })),
  });
  if (audit.isError) return <Trouble error={audit.error} />;
  if (audit.data && !audit.data.items.length) return <p className="hint">{words.noHistory}</p>;
  return (
    <ol className="history">
      {audit.data?.items.map((entry) => (
        <li key={`${entry.at} ${entry.action}`}>
          <strong>{entry.action}</strong> {time(entry.at)}, {entry.actor}
          <ul>
            {Object.entries(entry.after)
              .filter(([field]) => field in entry.before)
              .map(([field, after]) => (
                <li key={field}>
                  {field}: <del>{shown(entry.before[field])}</del> → <ins>{shown(after)}</ins>
                </li>
              ))}
          </ul>
        </li>
      ))}
    </ol>
  );
}

function RotateKey({ of, onClose }: { of: Connection; onClose: () => void }) {
  const toasts = useToasts();
  const queries = useQueryClient();
  const [key, setKey] = useState("");
  const rotate = useMutation({
    mutationFn: () => ask(api.POST("/api/connections/{connection_id}/rotate-key", { params: { path: { connection_id: of.id } }, body: { api_key: key } })),
    onSuccess: () => {
      toasts.say(words.rotated);
      onClose();
    },
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
  return (
    <Dialog title={words.rotate} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          rotate.mutate();
        }}
      >
        <Field label={words.newKey} hint={text.editor.hints.api_key}>
          {(ids) => <input {...ids} type="password" autoComplete="off" required maxLength={2_000} value={key} onChange={(event) => setKey(event.target.value)} />}
        </Field>
        {rotate.isError && <Trouble error={rotate.error} />}
        <footer>
          <Button onClick={onClose}>{text.cancel}</Button>
          <Button kind="main" type="submit" disabled={rotate.isPending}>
            {text.save}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

function Remove({ of, onClose }: { of: Connection; onClose: () => void }) {
  const toasts = useToasts();
  const queries = useQueryClient();
  const navigate = route.useNavigate();
  const remove = useMutation({
    mutationFn: () => ask(api.DELETE("/api/connections/{connection_id}", { params: { path: { connection_id: of.id }, query: { version: of.version } } })),
    onSuccess: () => {
      toasts.say(text.connections.removed(of.name));
      void navigate({ to: "/connections" });
    },
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
  return (
    <ConfirmRemoval title={words.removeTitle(of.name)} removal={remove} onClose={onClose}>
      {words.removeText}
    </ConfirmRemoval>
  );
}
