/** One chat: whom it asks, its messages with their branches and receipts, and what is typed next. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { api, ask, Problem } from "../api/client";
import { Talk } from "../room/talk";
import { text } from "../text";
import { ConfirmRemoval } from "../ui/confirm";
import { Button, Empty, Trouble } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import { Composer } from "./composer";
import { Message, PastMessage } from "./message";
import { ChatSettings } from "./settings";
import { withSpoken, type Beginning } from "./types";
import { CHATS, useChat } from "./use_chat";

const words = text.chat;

/** Sends a message to a side; `onStored` is called once it is stored. */
export type Ask = (content: string, onStored: () => void) => void;

interface ChatSideProps {
  /** Its place in the page's address. */
  place: "chat" | "beside";
  label: string;
  id: string | undefined;
  beginning: Beginning | null;
  onCreated: (id: string) => void;
  onGone: () => void;
  onClose?: () => void;
  register: (ask: Ask | null) => void;
  askBoth: Ask | undefined;
}

export function ChatSide({ place, label, id, beginning, onCreated, onGone, onClose, register, askBoth }: ChatSideProps) {
  const side = useChat(id, beginning, onCreated);
  const [after, setAfter] = useState<number | undefined>();
  const [isRemoving, setRemoving] = useState(false);
  const path = side.stored.data?.path ?? [];
  const past = side.beginning?.history ?? [];
  const before = withSpoken(id === undefined ? past : path, []);
  const send: Ask = (content, onStored) => {
    const stored = () => {
      setAfter(undefined);
      onStored();
    };
    side.ask({ content, after, onStored: stored });
  };
  useEffect(() => {
    register(send);
    return () => register(null);
  });
  if (id !== undefined && side.stored.error instanceof Problem && [404, 422].includes(side.stored.error.status)) {
    return (
      <section className="chat" aria-label={label}>
        <Empty>{words.gone}</Empty>
      </section>
    );
  }
  return (
    <section className="chat" aria-label={label}>
      <header>
        <h2>{side.settings.title || words.untitled}</h2>
        {id !== undefined && (
          <>
            <a className="button link" href={`/api/chats/${id}/export?format=markdown`}>
              {words.exportAs.markdown}
            </a>
            <a className="button link" href={`/api/chats/${id}/export?format=json`}>
              {words.exportAs.json}
            </a>
            <Button kind="link" onClick={() => setRemoving(true)}>
              {text.remove}
            </Button>
          </>
        )}
        {onClose && (
          <Button kind="link" onClick={onClose}>
            {words.close}
          </Button>
        )}
      </header>
      <ChatSettings settings={side.settings} onChange={side.set} />
      {side.stored.isError && id !== undefined && <Trouble error={side.stored.error} onRetry={() => void side.stored.refetch()} />}
      {id === undefined && !past.length && <Empty title={words.emptyTitle}>{words.empty}</Empty>}
      <ol className="said" aria-live="polite" aria-busy={side.isBusy}>
        {past.map((message, index) => (
          <PastMessage key={index} of={message} />
        ))}
        {path.map((message) => (
          <Message
            key={message.number}
            of={message.number === side.live?.reply ? { ...message, content: side.live.text } : message}
            isBusy={side.isBusy}
            onEdit={(content, onStored) => side.ask({ content, after: message.parent, onStored })}
            onAgain={() => side.again(message.number)}
            onBranch={message.number === path.at(-1)?.number ? undefined : () => setAfter(message.number)}
            onChoose={side.choose}
          />
        ))}
      </ol>
      {side.error && <Trouble error={side.error} />}
      <Composer
        isBusy={side.isBusy}
        after={after}
        onAfter={setAfter}
        mayAnswer={past.at(-1)?.role === "user"}
        onSend={send}
        onBoth={askBoth}
        onStop={side.live?.reply ? side.stop : undefined}
      />
      <Talk
        hint={words.voiceHint}
        chosenBy={place}
        begin={(said) => {
          const { model, system_prompt, parameters } = side.settings;
          return ask(api.POST("/api/chats/call", { body: { model, system_prompt, parameters, history: withSpoken(before, said) } }));
        }}
        onSaid={(said) => side.keep(withSpoken(before, said))}
      />
      {isRemoving && id !== undefined && (
        <RemoveChat
          id={id}
          onClose={() => setRemoving(false)}
          onRemoved={() => {
            setRemoving(false);
            onGone();
          }}
        />
      )}
    </section>
  );
}

function RemoveChat({ id, onClose, onRemoved }: { id: string; onClose: () => void; onRemoved: () => void }) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const remove = useMutation({
    mutationFn: () => ask(api.DELETE("/api/chats/{chat_id}", { params: { path: { chat_id: id } } })),
    onSuccess: () => {
      toasts.say(words.removed);
      onRemoved();
    },
    onSettled: () => queries.invalidateQueries({ queryKey: [...CHATS, "list"] }),
  });
  return (
    <ConfirmRemoval title={words.removeTitle} removal={remove} onClose={onClose}>
      {words.removeText}
    </ConfirmRemoval>
  );
}
