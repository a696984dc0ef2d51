/** The stored chats, found by their words. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { api, ask, nextOffset } from "../api/client";
import { time } from "../format";
import { text } from "../text";
import { Button, Trouble } from "../ui/kit";
import { CHATS } from "./use_chat";

const words = text.chat;
const PAGE = 30;

interface ChatListProps {
  shown: string | undefined;
  search: string | undefined;
  onSearch: (text: string | undefined) => void;
}

export function ChatList({ shown, search, onSearch }: ChatListProps) {
  const found = useInfiniteQuery({
    queryKey: [...CHATS, "list", search ?? ""],
    queryFn: ({ pageParam }) => ask(api.GET("/api/chats", { params: { query: { text: search ?? "", limit: PAGE, offset: pageParam } } })),
    initialPageParam: 0,
    getNextPageParam: nextOffset,
    placeholderData: (before) => before,
  });
  const items = found.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <nav className="chats" aria-label={words.chats}>
      <label className="choice">
        <span>{words.find}</span>
        <input type="search" maxLength={200} value={search ?? ""} onChange={(event) => onSearch(event.target.value || undefined)} />
      </label>
      {found.isError && <Trouble error={found.error} onRetry={() => void found.refetch()} />}
      {found.isSuccess && !items.length && <p className="hint">{search ? words.nothing : words.emptyList}</p>}
      <ul>
        {items.map((chat) => (
          <li key={chat.id}>
            <Link to="/chat" search={(before) => ({ ...before, chat: chat.id, call: undefined, item: undefined }) as never} aria-current={chat.id === shown ? "true" : undefined}>
              {chat.title || words.untitled}
              <small>{chat.excerpt || time(chat.updated_at)}</small>
            </Link>
          </li>
        ))}
      </ul>
      {found.hasNextPage && (
        <Button kind="link" disabled={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
          {words.more}
        </Button>
      )}
    </nav>
  );
}
