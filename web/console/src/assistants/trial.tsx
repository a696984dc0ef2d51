/** Talks with an assistant, in writing or by voice, as it would be with changes that are not published. */

import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

import { api, ask, Problem } from "../api/client";
import { serverEvents } from "../chat/sse";
import { seconds } from "../format";
import { Talk } from "../room/talk";
import { text } from "../text";
import { Button, Field, Trouble } from "../ui/kit";
import type { Draft } from "./fields";

const words = text.assistants.trial;

interface Said {
  role: "user" | "assistant" | "tool";
  text: string;
  tool_calls: { [name: string]: unknown }[];
  receipt?: { connection?: string; first_word?: number | null };
}

/** The API takes so many items of a conversation. */
const MOST = 200;

export function Trial({ name, draft }: { name: string; draft: Draft }) {
  const [said, setSaid] = useState<Said[]>([]);
  const [growing, setWords] = useState("");
  const [typed, setTyped] = useState("");
  const reading = useRef<AbortController | null>(null);
  useEffect(() => () => reading.current?.abort(), []);

  /** Has the last item answered; without any, reads the first words. */
  const answer = useMutation({
    mutationFn: async (items: Said[]) => {
      const abort = new AbortController();
      reading.current = abort;
      const plain = items.slice(-MOST).map(({ role, text: spoken, tool_calls }) => ({ role, text: spoken, tool_calls }));
      let isWhole = false;
      try {
        const path = { assistant_name: name };
        const body = { draft, said: plain } as never;
        const stream = await ask<ReadableStream<Uint8Array<ArrayBuffer>>>(api.POST("/api/assistants/{assistant_name}/try", { params: { path }, body, parseAs: "stream", signal: abort.signal }) as never);
        for await (const event of serverEvents(stream)) {
          if (event.name === "text") setWords((before) => before + (event.data as { text: string }).text);
          if (event.name === "item") {
            setSaid((before) => [...before, event.data as Said]);
            setWords("");
          }
          if (event.name === "error") throw new Problem(0, event.data as { detail: string });
          isWhole = event.name === "end";
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        throw error instanceof Problem ? error : new Problem(0, { detail: words.lost });
      } finally {
        setWords("");
      }
      if (!isWhole) throw new Problem(0, { detail: words.lost });
    },
  });
  const send = () => {
    if (!typed.trim() || answer.isPending) return;
    // A question that was not answered is asked again with the next one.
    const open = said.at(-1)?.role === "user" ? said.at(-1)?.text : "";
    const asked: Said = { role: "user", text: open ? `${open}\n\n${typed.trim()}` : typed.trim(), tool_calls: [] };
    const items = [...(open ? said.slice(0, -1) : said), asked];
    setSaid(items);
    setTyped("");
    answer.mutate(items);
  };
  const begin = () => {
    reading.current?.abort();
    setSaid([]);
    answer.mutate([]);
  };
  return (
    <section className="trial">
      <h2>{words.title}</h2>
      <p className="hint">{words.text}</p>
      <ol className="said" aria-live="polite" aria-busy={answer.isPending}>
        {said.map((one, index) => (
          <li key={index} className={one.role}>
            <strong>{words.roles[one.role]}</strong> {one.receipt?.connection && <small>{words.by(one.receipt.connection, seconds(one.receipt.first_word))}</small>}
            {one.text && <p>{one.text}</p>}
            {one.tool_calls.map((call, number) => (
              <p key={number}>
                <code>
                  {String(call.name)}({String(call.arguments ?? "")})
                </code>{" "}
                → {String(call.output ?? "")}
              </p>
            ))}
          </li>
        ))}
        {growing && (
          <li className="assistant">
            <strong>{words.roles.assistant}</strong>
            <p>{growing}</p>
          </li>
        )}
      </ol>
      {answer.isError && <Trouble error={answer.error} onRetry={() => answer.mutate(said)} />}
      <form
        className="composer"
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <Field label={words.message}>{(ids) => <input {...ids} maxLength={20_000} value={typed} onChange={(event) => setTyped(event.target.value)} />}</Field>
        <div className="inline">
          <Button type="submit" disabled={answer.isPending || !typed.trim()}>
            {words.send}
          </Button>
          <Button onClick={begin}>{said.length ? words.again : words.begin}</Button>
          {answer.isPending && <Button onClick={() => reading.current?.abort()}>{words.stop}</Button>}
        </div>
      </form>
      <Talk hint={words.voiceHint} begin={() => ask(api.POST("/api/assistants/{assistant_name}/call", { params: { path: { assistant_name: name } }, body: { draft } as never }))} />
    </section>
  );
}
