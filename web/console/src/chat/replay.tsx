/** A turn of a real call, to be asked again of others. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { api, ask, Problem, type CallItem } from "../api/client";
import { turnOf } from "../calls/timeline";
import { seconds } from "../format";
import { text } from "../text";
import { Trouble } from "../ui/kit";
import { pastOf, type Beginning } from "./types";

const words = text.chat.replay;
const MOST_ITEMS = 1_000;
/** So many of them are after the item: the answer is among them. */
const ITEMS_AFTER = 100;

export interface CallTurnState {
  beginning: Beginning | null;
  /** What the call's own agent answered. */
  answer: CallItem | undefined;
  isGone: boolean;
  hasNoPrompt: boolean;
  error: Error | null;
}

/** Reads the conversation of a call up to an item of the caller, and its assistant's instructions. */
export function useCallTurn(call: string | undefined, item: number | undefined): CallTurnState {
  const found = useQuery({
    queryKey: ["calls", "turn", call, item],
    queryFn: () => {
      const after = Math.max(0, (item ?? 0) + ITEMS_AFTER - MOST_ITEMS);
      return ask(api.GET("/api/calls/{call_id}", { params: { path: { call_id: call ?? "" }, query: { after, limit: MOST_ITEMS } } }));
    },
    enabled: call !== undefined,
  });
  const name = found.data ? found.data.call.assistant || "default" : "";
  const assistant = useQuery({
    queryKey: ["assistants", "one", name],
    queryFn: async () => {
      try {
        return await ask(api.GET("/api/assistants/{assistant_name}", { params: { path: { assistant_name: name } } }));
      } catch (error) {
        if (error instanceof Problem && error.status === 404) return null;
        throw error;
      }
    },
    enabled: name !== "",
  });
  const items = found.data?.items ?? [];
  const last = item ?? items.findLast(({ role }) => role === "user")?.number ?? 0;
  const history = pastOf(items, last);
  const isReady = history.length > 0 && (assistant.isFetched || name === "");
  return {
    beginning: isReady ? { history, system_prompt: assistant.data?.instructions ?? "" } : null,
    answer: items.find(({ number, role }) => number > last && role === "assistant"),
    isGone: found.isError || (found.isSuccess && !history.length),
    hasNoPrompt: assistant.isFetched && !assistant.data?.instructions,
    error: found.error,
  };
}

export function CallTurn({ turn, call }: { turn: CallTurnState; call: string }) {
  const first = turn.answer ? turnOf(turn.answer) : null;
  const firstWord = turn.answer?.receipt.first_word;
  return (
    <section className="replay">
      <h2>{words.title}</h2>
      <p>
        {words.text}{" "}
        <Link to="/calls/$id" params={{ id: call }}>
          {words.open}
        </Link>
      </p>
      {turn.error && <Trouble error={turn.error} />}
      {turn.isGone && !turn.error && <p className="hint">{words.gone}</p>}
      {turn.hasNoPrompt && <p className="hint">{words.noPrompt}</p>}
      {turn.answer && (
        <>
          <p className="hint">{first?.connection ? words.said(first.connection, seconds(typeof firstWord === "number" ? firstWord : null)) : words.saidOnly}</p>
          <blockquote>{turn.answer.text}</blockquote>
        </>
      )}
    </section>
  );
}
