/** The chat studio: a chat with a connection, a pool or the router, and another one beside it. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useCallback, useRef, useState } from "react";

import { mayHangUp } from "../room/going";
import { clean } from "../search";
import { useMay, useMe } from "../session";
import { text } from "../text";
import { Button, Empty } from "../ui/kit";
import { FRESH, type StudioView } from "./filters";
import { ChatList } from "./list";
import { CallTurn, useCallTurn } from "./replay";
import { ChatSide, type Ask } from "./side";
import { pastOfChat } from "./types";
import { chatQueryOptions } from "./use_chat";

const route = getRouteApi("/chat");
const words = text.chat;
type Place = "chat" | "beside";

export function ChatStudio() {
  const may = useMay();
  const me = useMe();
  if (!may("use")) return <Empty title={words.title}>{words.mayNot(me.role)}</Empty>;
  return <Studio />;
}

function Studio() {
  const view = route.useSearch();
  const navigate = route.useNavigate();
  const turn = useCallTurn(view.call, view.item);
  const asks = useRef(new Map<Place, Ask>());
  const register = useCallback((place: Place, ask: Ask | null) => void (ask ? asks.current.set(place, ask) : asks.current.delete(place)), []);
  const set = (changed: { [K in keyof StudioView]?: StudioView[K] | undefined }, ignoreBlocker = false) =>
    void navigate({ search: (before) => clean({ ...before, ...changed }) as StudioView, ignoreBlocker });
  // A chat that is stored stays where it is: nobody leaves it.
  const chat = useSlot(view.chat, (id) => set({ chat: id }, true));
  const other = useSlot(view.beside === FRESH ? undefined : view.beside, (id) => set({ beside: id }, true));
  const isDouble = view.beside !== undefined;
  const left = useQuery({ ...chatQueryOptions(view.chat ?? ""), enabled: isDouble && view.chat !== undefined });
  const ofChat = left.data?.path.length ? { history: pastOfChat(left.data.path), system_prompt: left.data.system_prompt } : null;
  const askBoth = (content: string, onStored: () => void) => asks.current.forEach((ask, place) => ask(content, place === "chat" ? onStored : () => undefined));
  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        <Button
          kind="main"
          onClick={() => {
            // The address of a chat that is not stored stays the same, so the router would not ask.
            if (!mayHangUp()) return;
            chat.renew();
            void navigate({ search: clean({ text: view.text }), ignoreBlocker: true });
          }}
        >
          {words.fresh}
        </Button>
        {!isDouble && (
          <Button
            onClick={() => {
              other.renew();
              set({ beside: FRESH });
            }}
          >
            {words.compare}
          </Button>
        )}
      </div>
      {view.call && <CallTurn turn={turn} call={view.call} />}
      <div className={isDouble ? "studio double" : "studio"}>
        <ChatList shown={view.chat} search={view.text} onSearch={(found) => set({ text: found })} />
        <ChatSide
          key={chat.key}
          place="chat"
          label={words.sides.chat}
          id={chat.id}
          beginning={turn.beginning}
          onCreated={chat.onCreated}
          onGone={() => set({ chat: undefined })}
          register={(ask) => register("chat", ask)}
          askBoth={isDouble ? askBoth : undefined}
        />
        {isDouble && (
          <ChatSide
            key={other.key}
            place="beside"
            label={words.sides.beside}
            id={other.id}
            beginning={turn.beginning ?? ofChat}
            onCreated={other.onCreated}
            onGone={() => set({ beside: undefined })}
            onClose={() => set({ beside: undefined })}
            register={(ask) => register("beside", ask)}
            askBoth={askBoth}
          />
        )}
      </div>
    </>
  );
}

/** A side's chat. It stays the same part of the page when it is stored, so that nothing typed is lost. */
function useSlot(id: string | undefined, onId: (id: string) => void) {
  const [fresh, setFresh] = useState<{ turn: number; id: string | undefined }>({ turn: 0, id: undefined });
  return {
    id,
    key: id === undefined || id === fresh.id ? `new ${fresh.turn}` : id,
    onCreated: (created: string) => {
      setFresh({ ...fresh, id: created });
      onId(created);
    },
    renew: () => setFresh(({ turn }) => ({ turn: turn + 1, id: undefined })),
  };
}
