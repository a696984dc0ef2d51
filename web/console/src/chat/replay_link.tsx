import { Link } from "@tanstack/react-router";

import { text } from "../text";
import { FRESH } from "./filters";

/** Leads from something that a caller has said to the studio, where others answer it. */
export function ReplayLink({ call, item }: { call: string; item: number }) {
  return (
    <Link to="/chat" search={{ call, item, beside: FRESH }}>
      {text.chat.replay.link}
    </Link>
  );
}
