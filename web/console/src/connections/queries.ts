/** Reads and changes connections; what is changed shows at once, and is put back if it is refused. */

import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";

import { api, ask, type Connection } from "../api/client";
import { text } from "../text";
import { useToasts } from "../ui/toasts";

export const KEY = ["connections"];

export const connectionQueryOptions = (id: string) =>
  queryOptions({
    queryKey: [...KEY, "one", id],
    queryFn: () => ask(api.GET("/api/connections/{connection_id}", { params: { path: { connection_id: id } } })),
  });

/** Switches connections on or off, with an undo. */
export function useSwitch() {
  const queries = useQueryClient();
  const toasts = useToasts();
  const change = useMutation({
    mutationFn: async ({ of, isActive }: { of: Connection[]; isActive: boolean }) => {
      const answers = await Promise.allSettled(
        of.map(({ id }) => {
          const params = { params: { path: { connection_id: id } } };
          return ask(isActive ? api.POST("/api/connections/{connection_id}/activate", params) : api.POST("/api/connections/{connection_id}/deactivate", params));
        }),
      );
      const switched = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
      const words = isActive ? text.connections.activated : text.connections.deactivated;
      if (switched.length) toasts.say(words(switched.map(({ name }) => name).join(", ")), () => change.mutate({ of: switched, isActive: !isActive }));
      for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
    },
    onMutate: ({ of, isActive }) => {
      const ids = new Set(of.map(({ id }) => id));
      patch(queries, (one) => (ids.has(one.id) ? { ...one, is_active: isActive } : one));
    },
    onError: (error) => toasts.fail(error),
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
  return change;
}

interface Pages {
  pages: { items: Connection[] }[];
}

function patch(queries: ReturnType<typeof useQueryClient>, change: (one: Connection) => Connection): void {
  queries.setQueriesData<Pages>({ queryKey: [...KEY, "list"] }, (data) => data && { ...data, pages: data.pages.map((page) => ({ ...page, items: page.items.map(change) })) });
  queries.setQueriesData<Connection>({ queryKey: [...KEY, "one"] }, (one) => one && change(one));
}
