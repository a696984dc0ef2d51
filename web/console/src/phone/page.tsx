/** Which telephone numbers are answered, by whom and when, as the telephone's file says. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { useState } from "react";

import { api, ask, type Schemas } from "../api/client";
import { useMe } from "../session";
import { text } from "../text";
import { Badge, Button, Empty, Trouble, WideTable } from "../ui/kit";
import { Rows } from "../ui/rows";
import { PhoneEditor } from "./editor";

type Phone = Schemas["PhoneRead"];
type PhoneNumber = Phone["numbers"][number];
type Hours = Phone["hours"][string];

const words = text.phone;
const DAYS = Object.keys(words.days) as (keyof typeof words.days)[];

export function PhonePage() {
  const me = useMe();
  if (!me.may.includes("administer")) return <Empty title={words.title}>{words.forAdmins}</Empty>;
  return <Telephone />;
}

function Telephone() {
  const [isEditing, setEditing] = useState(false);
  const found = useQuery({ queryKey: ["phone"], queryFn: () => ask(api.GET("/api/phone")), refetchInterval: 30_000 });
  if (isEditing) return <PhoneEditor onClose={() => setEditing(false)} />;
  if (found.isPending) return <p className="waiting">{text.loading}</p>;
  if (!found.data) return <Trouble error={found.error as Error} onRetry={() => void found.refetch()} />;
  const phone = found.data;
  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        <Button kind="main" onClick={() => setEditing(true)}>
          {words.edit}
        </Button>
      </div>
      <p>{words.text(phone.file)}</p>
      {phone.fault && (
        <div className="trouble" role="alert">
          <p>{words.fault}</p>
          <p>{phone.fault}</p>
        </div>
      )}
      <PhoneSetup of={phone} />
      <section>
        <p>{words.commands}</p>
        <pre className="code" tabIndex={0} aria-label={words.commands}>
          {words.plan}
        </pre>
      </section>
    </>
  );
}

/** What a file says: numbers, hours, calls out and people. */
export function PhoneSetup({ of: phone }: { of: Phone }) {
  return (
    <>
      <section>
        <h2>{words.numbers}</h2>
        {!phone.numbers.length && <Empty title={words.emptyTitle}>{words.empty}</Empty>}
        {phone.numbers.length > 0 && <Rows label={words.numbers} columns={Object.values(words.columns)} items={phone.numbers} row={(number) => <NumberRow of={number} />} />}
        {phone.other_numbers && <p className="hint">{words.others(phone.other_numbers.assistant, phone.other_numbers.trunk)}</p>}
      </section>
      {Object.keys(phone.hours).length > 0 && (
        <section>
          <h2>{words.hours}</h2>
          <div className="cards">
            {Object.entries(phone.hours).map(([name, hours]) => (
              <HoursCard key={name} name={name} of={hours} />
            ))}
          </div>
        </section>
      )}
      <section>
        <h2>{words.out}</h2>
        <p>{phone.outbound ? words.outText(phone.outbound.caller_id, [phone.outbound.trunk, ...phone.outbound.fallback].join(", then ")) : words.noOut}</p>
        {phone.outbound && phone.outbound.allowed_prefixes.length > 0 && <p>{words.prefixes(phone.outbound.allowed_prefixes.join(", "))}</p>}
      </section>
      {phone.people.length > 0 && <People of={phone.people} />}
    </>
  );
}

function NumberRow({ of }: { of: PhoneNumber }) {
  return (
    <>
      <td>{of.number}</td>
      <td>{of.trunk}</td>
      <td>
        <AssistantLink name={of.assistant} />
      </td>
      <td>{of.hours ?? words.always}</td>
      <td>{of.hours === null ? text.none : of.closed === "voicemail" ? words.voicemail : <AssistantLink name={of.closed} />}</td>
      <td>
        <Badge tone={of.is_open ? "good" : "warn"}>{of.is_open ? words.open : words.closedNow}</Badge> {of.answers_now === "voicemail" ? words.voicemail : of.answers_now}
      </td>
    </>
  );
}

function AssistantLink({ name }: { name: string }) {
  return (
    <Link to="/assistants/$name" params={{ name }}>
      {name}
    </Link>
  );
}

function HoursCard({ name, of }: { name: string; of: Hours }) {
  return (
    <div className="card">
      <strong>{name}</strong>
      <span>{words.timezone(of.timezone)}</span>
      <dl className="week">
        {DAYS.map((day) => (
          <div key={day}>
            <dt>{words.days[day]}</dt>
            <dd>{of[day].join(", ") || words.shut}</dd>
          </div>
        ))}
      </dl>
      {of.holidays.length > 0 && <small>{words.holidays(of.holidays.join(", "))}</small>}
      {Object.entries(of.special).map(([day, hours]) => (
        <small key={day}>{words.special(day, hours.join(", ") || words.shut)}</small>
      ))}
    </div>
  );
}

function People({ of }: { of: Phone["people"] }) {
  return (
    <section>
      <h2>{words.people}</h2>
      <WideTable label={words.people} columns={Object.values(words.peopleColumns)}>
        {of.map((person) => (
          <tr key={person.name}>
            <td>{person.name}</td>
            <td>{person.number}</td>
            <td>{person.about || text.none}</td>
            <td>{person.transfer}</td>
            <td>{person.hours ?? words.always}</td>
          </tr>
        ))}
      </WideTable>
    </section>
  );
}
