/** The settings that decide how long callers wait, by the part of the wait that each owns. */

import { useQuery } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import { useEffect } from "react";

import { api, ask, Problem } from "../api/client";
import { text } from "../text";
import { Badge, Empty, Trouble } from "../ui/kit";

const words = text.waits;

export function WaitsPage() {
  const found = useQuery({ queryKey: ["waits"], queryFn: () => ask(api.GET("/api/waits")), staleTime: Infinity });
  const { hash } = useLocation();
  useEffect(() => {
    if (found.data && hash) document.getElementById(hash)?.scrollIntoView();
  }, [found.data, hash]);
  if (found.isPending) return <p className="waiting">{text.loading}</p>;
  if (found.error instanceof Problem && found.error.status === 403) return <Empty title={words.title}>{words.forAdmins}</Empty>;
  if (!found.data) return <Trouble error={found.error as Error} onRetry={() => void found.refetch()} />;
  return (
    <>
      <h1>{words.title}</h1>
      <p className="hint">{words.note}</p>
      {(Object.keys(words.parts) as (keyof typeof words.parts)[]).map((part) => (
        <section key={part} id={part}>
          <h2>{words.parts[part]}</h2>
          <dl className="waits">
            {found.data.items
              .filter((one) => one.part === part)
              .map((one) => (
                <div key={one.name}>
                  <dt>
                    <code>
                      {one.name}={one.value}
                    </code>{" "}
                    {!one.is_default && <Badge>{words.changed}</Badge>}
                  </dt>
                  <dd>{one.about}</dd>
                </div>
              ))}
          </dl>
        </section>
      ))}
    </>
  );
}
