/** One call: what is said, while it is said, and how long each answer took and why. */

import { useMutation, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { memo, useState } from "react";

import { api, ask, Problem, type Call, type CallItem } from "../api/client";
import { ReplayLink } from "../chat/replay_link";
import { time } from "../format";
import { text } from "../text";
import { Badge, Button, Empty, Field, Trouble } from "../ui/kit";
import { ConfirmRemoval } from "../ui/confirm";
import { useToasts } from "../ui/toasts";
import { useFollowedCall } from "./live";
import { Supervise } from "./supervise";
import { turnOf } from "./timeline";
import { Timeline } from "./timeline_view";

const route = getRouteApi("/calls/$id");
const words = text.call;

export function CallPage() {
  const { id } = route.useParams();
  const first = useQuery({
    queryKey: ["calls", "one", id],
    queryFn: () => ask(api.GET("/api/calls/{call_id}", { params: { path: { call_id: id }, query: { limit: 1 } } })),
  });
  if (first.isPending) return <p className="waiting">{text.loading}</p>;
  if (first.error instanceof Problem && first.error.status === 403) return <Empty>{text.calls.forAdmins}</Empty>;
  if (first.error instanceof Problem && (first.error.status === 404 || first.error.status === 422)) return <Empty>{text.calls.gone}</Empty>;
  if (!first.data) return <Trouble error={first.error as Error} onRetry={() => void first.refetch()} />;
  return <Followed key={id} begun={first.data.call} />;
}

function Followed({ begun }: { begun: Call }) {
  const { call: now, items } = useFollowedCall(begun.id);
  const [isRemoving, setRemoving] = useState(false);
  const call = now ?? begun;
  const isOn = call.state !== "ended";
  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        <Badge tone={isOn ? "good" : "plain"}>{text.calls.states[call.state]}</Badge>
        <Badge>{text.calls.kinds[call.kind]}</Badge>
        <Button kind="danger" onClick={() => setRemoving(true)}>
          {words.remove}
        </Button>
      </div>
      <Facts of={call} />
      {call.kind !== "other" && <Supervise of={call} />}
      {call.state === "agent" && call.kind !== "other" && <Whisper id={call.id} />}
      <section>
        <h2>{words.said}</h2>
        {!items.length && <p className="hint">{!isOn && call.items > 0 ? words.notStored : words.nothing}</p>}
        <ol className="said" aria-live={isOn ? "polite" : undefined}>
          {items.map((item) => (
            <Said key={item.number} item={item} call={call.id} />
          ))}
          {isOn && call.voiced && (
            <li className="assistant">
              <strong>{words.saying}</strong>
              <p>{call.voiced}</p>
            </li>
          )}
        </ol>
      </section>
      {isRemoving && <Remove id={call.id} onClose={() => setRemoving(false)} />}
    </>
  );
}

function Facts({ of }: { of: Call }) {
  const facts: [string, string][] = [
    [words.facts.started, time(of.started_at)],
    [words.facts.answered, time(of.answered_at)],
    [words.facts.ended, time(of.ended_at)],
    [words.facts.reason, of.reason || text.none],
    [words.facts.assistant, of.assistant || text.calls.defaultAssistant],
    [words.facts.worker, of.worker || text.none],
    [words.facts.epoch, String(of.epoch)],
    [words.facts.room, of.room],
  ];
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Something that was said. It is drawn once: the items before a new one stay as they are. */
const Said = memo(function Said({ item, call: id }: { item: CallItem; call: string }) {
  const turn = turnOf(item);
  return (
    <li className={item.role}>
      <strong>{words.roles[item.role]}</strong> <time dateTime={item.created_at}>{time(item.created_at)}</time>
      {item.text && <p>{item.text}</p>}
      {item.interrupted_at !== null && <small>{words.interrupted(item.interrupted_at)}</small>}
      {item.tool_calls.map((call, index) => (
        <p key={index} className="tool-call">
          <code>
            {String(call.name)}({String(call.arguments ?? "")})
          </code>
          {call.output !== undefined && <span> → {String(call.output)}</span>}
        </p>
      ))}
      {turn && <Timeline turn={turn} />}
      {item.role === "user" && <ReplayLink call={id} item={item.number} />}
    </li>
  );
});

function Whisper({ id }: { id: string }) {
  const toasts = useToasts();
  const [typed, setTyped] = useState("");
  const whisper = useMutation({
    mutationFn: () => ask(api.POST("/api/calls/{call_id}/whisper", { params: { path: { call_id: id } }, body: { text: typed } })),
    onSuccess: () => {
      setTyped("");
      toasts.say(words.whispered);
    },
    onError: (error) => toasts.fail(error),
  });
  return (
    <form
      className="inline"
      onSubmit={(event) => {
        event.preventDefault();
        whisper.mutate();
      }}
    >
      <Field label={words.whisper} hint={words.whisperHint}>
        {(ids) => <input {...ids} required maxLength={500} value={typed} onChange={(event) => setTyped(event.target.value)} />}
      </Field>
      <Button type="submit" disabled={whisper.isPending}>
        {words.send}
      </Button>
    </form>
  );
}

function Remove({ id, onClose }: { id: string; onClose: () => void }) {
  const toasts = useToasts();
  const navigate = route.useNavigate();
  const remove = useMutation({
    mutationFn: () => ask(api.DELETE("/api/calls/{call_id}", { params: { path: { call_id: id } } })),
    onSuccess: () => {
      toasts.say(words.removed);
      void navigate({ to: "/calls" });
    },
  });
  return (
    <ConfirmRemoval title={words.remove} removal={remove} onClose={onClose}>
      {words.removeText}
    </ConfirmRemoval>
  );
}
