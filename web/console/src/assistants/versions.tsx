/** The versions of an assistant: what differs from now, and the way back. */

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask, nextOffset } from "../api/client";
import { time } from "../format";
import { text } from "../text";
import { Badge, Button, Trouble } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import { Differences } from "./differences";
import type { Assistant } from "./fields";
import { ASSISTANTS } from "./queries";

const words = text.assistants.versions;
const PAGE = 20;

interface VersionsProps {
  of: Assistant;
  mayChange: boolean;
  /** Whether there are changes that are not published: they would stand on another version. */
  isChanged: boolean;
  onRestored: (published: Assistant) => void;
}

export function Versions({ of, mayChange, isChanged, onRestored }: VersionsProps) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const [compared, setCompared] = useState<number | null>(null);
  const path = { assistant_name: of.name };
  const found = useInfiniteQuery({
    queryKey: [...ASSISTANTS, "versions", of.name, of.version],
    queryFn: ({ pageParam }) => ask(api.GET("/api/assistants/{assistant_name}/versions", { params: { path, query: { limit: PAGE, offset: pageParam } } })),
    initialPageParam: 0,
    getNextPageParam: nextOffset,
  });
  const restore = useMutation({
    mutationFn: (to: number) => ask(api.POST("/api/assistants/{assistant_name}/rollback", { params: { path }, body: { to, version: of.version } })),
    onSuccess: (published, to) => {
      toasts.say(words.done(to));
      setCompared(null);
      onRestored(published);
    },
    onError: (error) => toasts.fail(error),
    onSettled: () => queries.invalidateQueries({ queryKey: ASSISTANTS }),
  });
  const items = found.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <section>
      <h2>{words.title}</h2>
      {found.isError && <Trouble error={found.error} onRetry={() => void found.refetch()} />}
      <ol className="history">
        {items.map(({ version, author, at, restored }) => (
          <li key={version}>
            <strong>{words.version(version)}</strong> {time(at)} {words.by(author)} {restored !== null && words.restored(restored)} {version === of.version && <Badge tone="good">{words.now}</Badge>}
            {version !== of.version && (
              <div className="acts">
                <Button kind="link" aria-expanded={compared === version} onClick={() => setCompared(compared === version ? null : version)}>
                  {words.compare}
                </Button>
                {mayChange && !isChanged && (
                  <Button kind="link" disabled={restore.isPending} aria-label={`${words.restore}: ${words.version(version)}`} onClick={() => restore.mutate(version)}>
                    {words.restore}
                  </Button>
                )}
              </div>
            )}
            {compared === version && <Compared name={of.name} version={version} now={of.version} />}
          </li>
        ))}
      </ol>
      {found.hasNextPage && (
        <Button kind="link" onClick={() => void found.fetchNextPage()}>
          {words.more}
        </Button>
      )}
    </section>
  );
}

function Compared({ name, version, now }: { name: string; version: number; now: number }) {
  const found = useQuery({
    queryKey: [...ASSISTANTS, "diff", name, version, now],
    queryFn: () => ask(api.GET("/api/assistants/{assistant_name}/diff", { params: { path: { assistant_name: name }, query: { before: now, after: version } } })),
    staleTime: Infinity,
  });
  if (found.isError) return <Trouble error={found.error} />;
  if (!found.data) return <p className="hint">{text.loading}</p>;
  const fields = Object.entries(found.data.fields).map(([field, { before, after }]) => ({ field, before, after }));
  return fields.length ? <Differences fields={fields} /> : <p className="hint">{words.same}</p>;
}
