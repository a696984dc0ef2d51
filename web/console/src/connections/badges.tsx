import type { Connection } from "../api/client";
import { text } from "../text";
import { Badge } from "../ui/kit";

const TONES = { active: "good", error: "bad", resting: "warn", testing: "warn", untested: "plain", deactivated: "plain" } as const;

export function StatusBadge({ of }: { of: Connection }) {
  const status = of.is_active ? of.status : "deactivated";
  return (
    <Badge tone={TONES[status]} title={of.status_reason || undefined}>
      {text.connections.statuses[status]}
    </Badge>
  );
}

export function UseBadges({ of }: { of: Connection }) {
  const { uses, notApproved } = text.connections;
  return (
    <>
      {of.use_in_livekit && (
        <Badge tone={of.is_approved_for_calls ? "plain" : "warn"} title={of.is_approved_for_calls ? undefined : notApproved}>
          {uses.use_in_livekit}
        </Badge>
      )}
      {of.use_in_mcp && <Badge>{uses.use_in_mcp}</Badge>}
      {of.use_in_automation && <Badge>{uses.use_in_automation}</Badge>}
    </>
  );
}
