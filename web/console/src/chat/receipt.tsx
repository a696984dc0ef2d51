/** Says how a reply came about: who was asked, why, how it went and what it cost. */

import { compact, cost, seconds } from "../format";
import { text } from "../text";
import { Badge, WideTable } from "../ui/kit";
import type { Route } from "./types";

const words = text.chat.receipt;

export function Receipt({ of }: { of: Route }) {
  const tokens = words.tokens(compact(of.tokens_in), compact(of.tokens_out));
  const { tries = [], unasked = [] } = of;
  const price = of.cost == null ? words.unpriced : words.cost(cost(of.cost));
  return (
    <details className="receipt">
      <summary>
        {of.connection ? words.title(of.connection) : words.none} · {words.first(seconds(of.first_word))} · {tokens} · {price}
        {of.attempts > 1 && <Badge tone="warn">{`${text.call.attempts}: ${of.attempts}`}</Badge>}
      </summary>
      {!tries.length && <p className="hint">{words.old}</p>}
      {tries.length > 0 && (
        <WideTable label={text.call.attempts} columns={Object.values(words.columns)}>
          {tries.map((one, index) => (
            <tr key={index}>
              <td>
                {one.connection} <small>{one.model}</small>
              </td>
              <td>{(words.why as Record<string, string>)[one.role] ?? one.role}</td>
              <td>
                <Badge tone={one.delivered ? "good" : one.outcome in words.outcomes ? "plain" : "bad"}>{(words.outcomes as Record<string, string>)[one.outcome] ?? one.outcome}</Badge>
              </td>
              <td>{seconds(one.started)}</td>
              <td>{seconds(one.first_word)}</td>
              <td>{seconds(one.duration)}</td>
              <td>
                {compact(one.tokens_in)} + {compact(one.tokens_out)}
              </td>
              <td>{one.cost == null ? text.none : cost(one.cost)}</td>
            </tr>
          ))}
        </WideTable>
      )}
      {unasked.map(({ connection, reason }) => (
        <p key={connection} className="hint">
          {words.unasked(connection, reason)}
        </p>
      ))}
    </details>
  );
}
