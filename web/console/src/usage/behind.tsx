import { Link } from "@tanstack/react-router";

import { now } from "../clock";
import { useMay } from "../session";
import { text } from "../text";
import { callsBehind, type Behind, type UsageRange } from "./range";

/** A figure that leads to the calls behind it, for those who may see calls. */
export function BehindLink({ search, behind, shown }: { search: UsageRange; behind: Behind; shown: string }) {
  const may = useMay();
  const filters = may("administer") ? callsBehind(search, now(), behind) : null;
  if (!filters) return <>{shown}</>;
  return (
    <Link to="/calls" search={filters} title={text.usage.behind}>
      {shown}
    </Link>
  );
}
