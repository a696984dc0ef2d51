import { useRouter } from "@tanstack/react-router";
import type { MouseEvent } from "react";

import { text } from "../text";
import { FRESH } from "./filters";

/**
 * Leads from something that a caller has said to the studio, where others answer it. A long call has hundreds: each
 * would follow every change of the address if it were one of the router's own links.
 */
export function ReplayLink({ call, item }: { call: string; item: number }) {
  const router = useRouter();
  const place = { to: "/chat", search: { call, item, beside: FRESH } } as const;
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    void router.navigate(place);
  };
  return (
    <a href={router.buildLocation(place).publicHref} onClick={follow}>
      {text.chat.replay.link}
    </a>
  );
}
