/** The list of assistants, and the way to add one. */

import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link, useLocation, useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { api, ask, Problem, nextOffset, nextPage } from "../api/client";
import { time } from "../format";
import { useMe } from "../session";
import { text } from "../text";
import { Button, Dialog, Empty, Field, Trouble } from "../ui/kit";
import { Rows } from "../ui/rows";
import { useToasts } from "../ui/toasts";
import type { Assistant } from "./fields";
import { ASSISTANTS, assistantQueryOptions, mayChange, mayRead } from "./queries";

const route = getRouteApi("/assistants");
const words = text.assistants;
const PAGE = 200;
const DEFAULT = "default";

export function AssistantList() {
  const me = useMe();
  if (!mayRead(me)) return <Empty title={words.title}>{words.mayNotRead(me.role)}</Empty>;
  return <List />;
}

function List() {
  const me = useMe();
  const { hash } = useLocation();
  const navigate = route.useNavigate();
  const found = useInfiniteQuery({
    queryKey: [...ASSISTANTS, "list"],
    queryFn: ({ pageParam }) => ask(api.GET("/api/assistants", { params: { query: { limit: PAGE, offset: pageParam } } })),
    initialPageParam: 0,
    getNextPageParam: nextOffset,
  });
  const items = found.data?.pages.flatMap((page) => page.items) ?? [];
  const open = (isOpen: boolean) => void navigate({ to: "/assistants", hash: isOpen ? "add" : "", replace: true });
  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        {mayChange(me) && (
          <Button kind="main" onClick={() => open(true)}>
            {words.add}
          </Button>
        )}
      </div>
      {found.isError && <Trouble error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <p className="waiting">{text.loading}</p>}
      {found.isSuccess && !items.length && <Empty title={words.emptyTitle}>{words.empty}</Empty>}
      {items.length > 0 && (
        <Rows label={words.title} columns={Object.values(words.columns)} items={items} row={(one) => <Row of={one} />} onEnd={nextPage(found)} />
      )}
      {hash === "add" && mayChange(me) && <Add onClose={() => open(false)} />}
    </>
  );
}

function Row({ of }: { of: Assistant }) {
  return (
    <>
      <td>
        <Link to="/assistants/$name" params={{ name: of.name }}>
          {of.name}
        </Link>
      </td>
      <td className="cut">{of.description || text.none}</td>
      <td>{of.languages.join(", ") || text.none}</td>
      <td>{of.pool ?? text.none}</td>
      <td>{of.version || text.none}</td>
      <td>
        {time(of.at)} <small>{of.author}</small>
      </td>
      <td>{words.sources[of.source]}</td>
    </>
  );
}

function Add({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const toasts = useToasts();
  const [name, setName] = useState("");
  const [instructions, setInstructions] = useState("");
  const add = useMutation({
    mutationFn: () => ask(api.POST("/api/assistants", { body: { name, ...(instructions ? { instructions } : {}) } as never })),
    onSuccess: (made) => {
      toasts.say(made.name === DEFAULT ? words.create.madeDefault : words.create.made(made.name));
      queries.setQueryData(assistantQueryOptions(made.name).queryKey, made);
      void navigate({ to: "/assistants/$name", params: { name: made.name } });
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ASSISTANTS }),
  });
  const faults = add.error instanceof Problem ? add.error.fields : {};
  return (
    <Dialog title={words.add} onClose={onClose} wide>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          add.mutate();
        }}
      >
        <Field label={words.create.name} hint={words.create.nameHint} error={faults.name}>
          {(ids) => <input {...ids} required pattern="[a-z0-9][a-z0-9_\-]{0,63}" autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        <Field label={words.fields.instructions} hint={words.hints.unset} error={faults.instructions}>
          {(ids) => <textarea {...ids} rows={8} maxLength={100_000} value={instructions} onChange={(event) => setInstructions(event.target.value)} />}
        </Field>
        {add.isError && <Trouble error={add.error} />}
        <footer>
          <Button onClick={onClose}>{text.cancel}</Button>
          <Button kind="main" type="submit" disabled={add.isPending}>
            {words.create.submit}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
