/** The workers that take calls: how busy each is, and whether it has a place. */

import { useQuery } from "@tanstack/react-query";

import { api, ask, type Schemas } from "../api/client";
import { count, time } from "../format";
import { text } from "../text";
import { Badge, Trouble, WideTable } from "../ui/kit";

type Worker = Schemas["WorkerRead"];
const words = text.workers;
const EVERY = 5_000;

export function Workers() {
  const found = useQuery({ queryKey: ["workers"], queryFn: () => ask(api.GET("/api/calls/workers")), refetchInterval: EVERY });
  if (found.isError) return <Trouble error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return null;
  const { items } = found.data;
  const calls = items.reduce((sum, one) => sum + one.calls, 0);
  const free = items.filter((one) => one.takes_calls && one.has_place).length;
  return (
    <details className="workers">
      <summary>
        {words.summary(items.length, calls)} <Badge tone={free ? "good" : "bad"}>{items.length ? words.free(free) : words.none}</Badge>
      </summary>
      {!items.length && <p className="hint">{words.empty}</p>}
      {items.length > 0 && (
        <WideTable label={words.title} columns={Object.values(words.columns)}>
          {items.map((worker) => (
            <Row key={worker.name} of={worker} />
          ))}
        </WideTable>
      )}
    </details>
  );
}

const share = (value: number) => `${Math.round(value * 100)} %`;

function Row({ of }: { of: Worker }) {
  return (
    <tr>
      <td className="cut">{of.name}</td>
      <td>{of.agent_name}</td>
      <td>{count(of.calls)}</td>
      <td>
        <meter min={0} max={1} high={of.limit || 1} value={of.load} aria-label={words.columns.load} /> {of.limit ? words.loadOf(share(of.load), share(of.limit)) : share(of.load)}
      </td>
      <td>{count(of.ready)}</td>
      <td>
        <Badge tone={of.takes_calls && of.has_place ? "good" : "bad"}>{!of.takes_calls ? words.broken : of.has_place ? words.hasPlace : words.full}</Badge>{" "}
        {of.has_place && of.places !== null && <small>{words.about(of.places)}</small>}
      </td>
      <td>{time(of.started_at)}</td>
    </tr>
  );
}
