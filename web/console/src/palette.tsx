/** Goes to a page or a connection by its name, without the mouse. */

import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { api, ask } from "./api/client";
import { mayChange } from "./assistants/queries";
import { useMay, useMe } from "./session";
import { text } from "./text";
import { Dialog, Field } from "./ui/kit";

const MOST = 8;

interface Way {
  name: string;
  go: () => Promise<void>;
}

export function Palette({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const may = useMay();
  const me = useMe();
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const found = useQuery({
    queryKey: ["connections", "palette", typed],
    queryFn: () => ask(api.GET("/api/connections", { params: { query: { text: typed, limit: MOST } } })),
    placeholderData: (before) => before,
  });
  const pages: Way[] = [
    { name: text.nav.connections, go: () => navigate({ to: "/connections" }) },
    { name: text.nav.calls, go: () => navigate({ to: "/calls" }) },
    { name: text.nav.usage, go: () => navigate({ to: "/usage" }) },
    { name: text.nav.chat, go: () => navigate({ to: "/chat" }) },
    { name: text.nav.assistants, go: () => navigate({ to: "/assistants" }) },
    { name: text.nav.sites, go: () => navigate({ to: "/sites" }) },
    { name: text.nav.phone, go: () => navigate({ to: "/phone" }) },
    ...(mayChange(me) ? [{ name: text.assistants.add, go: () => navigate({ to: "/assistants", hash: "add" }) }] : []),
    ...(may("add") ? [{ name: text.palette.add, go: () => navigate({ to: "/connections", hash: "add" }) }] : []),
  ];
  const connections: Way[] = (found.data?.items ?? []).map(({ id, name }) => ({
    name,
    go: () => navigate({ to: "/connections/$id", params: { id } }),
  }));
  const ways = [...pages.filter((page) => page.name.toLowerCase().includes(typed.toLowerCase())), ...connections];
  const chosen = Math.min(at, ways.length - 1);
  const take = (way: Way | undefined) => {
    if (!way) return;
    onClose();
    void way.go();
  };
  return (
    <Dialog title={text.palette.title} onClose={onClose}>
      <Field label={text.palette.hint}>
        {(ids) => (
          <input
            {...ids}
            autoFocus
            role="combobox"
            aria-expanded
            aria-controls="ways"
            aria-activedescendant={ways.length ? `way-${chosen}` : undefined}
            maxLength={200}
            value={typed}
            onChange={(event) => {
              setTyped(event.target.value);
              setAt(0);
            }}
            onKeyDown={(event) => {
              if (event.nativeEvent.isComposing) return;
              if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, ways.length - 1));
              else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
              else if (event.key === "Enter") take(ways[chosen]);
              else return;
              event.preventDefault();
            }}
          />
        )}
      </Field>
      <ul id="ways" role="listbox" aria-label={text.palette.title} className="ways">
        {ways.map((way, index) => (
          <li key={`${index} ${way.name}`} id={`way-${index}`} role="option" aria-selected={index === chosen} onClick={() => take(way)}>
            {way.name}
          </li>
        ))}
      </ul>
      {!ways.length && <p>{text.palette.empty}</p>}
    </Dialog>
  );
}
