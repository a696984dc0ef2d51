/** Draws the wait of a turn, and below it a lane for each attempt. */

import { Link } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";

import { seconds } from "../format";
import { text } from "../text";
import { Badge } from "../ui/kit";
import type { Attempt, PartName, Turn } from "./timeline";
import { WhatIf } from "./what_if_view";

const words = text.call;

export function Timeline({ turn }: { turn: Turn }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details className="turn" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {words.turn(seconds(turn.waited))}
        {turn.connection && <Badge>{turn.connection}</Badge>}
        {turn.attempts.length > 1 && <Badge tone="warn">{`${words.attempts}: ${turn.attempts.length}`}</Badge>}
      </summary>
      {isOpen && <Parts turn={turn} />}
    </details>
  );
}

/** The parts of a wait and its attempts. A long call has hundreds: each is made once somebody opens it. */
function Parts({ turn }: { turn: Turn }) {
  const end = Math.max(turn.waited, ...turn.attempts.map((one) => turn.asked + one.started + one.duration), 0.001);
  const share = (value: number) => `${(value / end) * 100}%`;
  return (
    <>
      <div className="lane" role="img" aria-label={turn.parts.map((part) => `${words.parts[part.name]}: ${seconds(part.seconds)}`).join(", ")}>
        {turn.parts.map((part) => (
          <span key={part.name} className={`part ${part.name}`} style={{ left: share(part.start), width: share(part.seconds) }} />
        ))}
      </div>
      <ul className="legend">
        {turn.parts.map((part) => (
          <li key={part.name}>
            <i className={`part ${part.name}`} /> {words.parts[part.name]}: {seconds(part.seconds)} <small>({owner(part.name, turn)})</small>
          </li>
        ))}
      </ul>
      {turn.hadFiller && <p className="hint">{words.filler(seconds(turn.asked + turn.firstWord))}</p>}
      {turn.isLastResort && <p className="hint">{words.lastResort}</p>}
      {turn.attempts.map((attempt, index) => (
        <Lane key={index} of={attempt} left={share(turn.asked + attempt.started)} width={share(attempt.duration)} />
      ))}
      <WhatIf turn={turn} />
    </>
  );
}

/** The setting or the connection that decides how long a part takes, as a link to it. */
function owner(part: PartName, turn: Turn): ReactNode {
  if (part === "rest") return words.owners.rest;
  if (part !== "model") {
    return (
      <Link to="/waits" hash={part}>
        {words.owners[part]}
      </Link>
    );
  }
  const id = turn.attempts.find(({ connection, connection_id }) => connection === turn.connection && connection_id)?.connection_id;
  return (
    <>
      {id ? (
        <Link to="/connections/$id" params={{ id }}>
          {words.owners.model(turn.connection)}
        </Link>
      ) : (
        words.owners.model(turn.connection)
      )}
      {turn.attempts.length > 1 && (
        <>
          ,{" "}
          <Link to="/waits" hash="model">
            {words.owners.deadlines}
          </Link>
        </>
      )}
    </>
  );
}

function Lane({ of, left, width }: { of: Attempt; left: string; width: string }) {
  const outcome = (words.outcomes as Record<string, string>)[of.outcome] ?? of.outcome;
  const tone = of.delivered ? "good" : of.outcome in words.outcomes ? "plain" : "bad";
  return (
    <div className="attempt">
      <span>
        {of.connection_id ? (
          <Link to="/connections/$id" params={{ id: of.connection_id }}>
            {of.connection}
          </Link>
        ) : (
          of.connection
        )}{" "}
        <small>{words.attempt((words.attemptRoles as Record<string, string>)[of.role] ?? of.role, outcome)}</small>
      </span>
      <div className="lane">
        <span className={`part ${tone}`} style={{ left, width }} title={`${seconds(of.first_word)} / ${seconds(of.duration)}`} />
      </div>
    </div>
  );
}
