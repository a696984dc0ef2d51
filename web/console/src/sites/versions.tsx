/** The versions of a site: what differs from now, and the way back. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask } from "../api/client";
import { Differences } from "../assistants/differences";
import { time } from "../format";
import { text } from "../text";
import { Badge, Button, Trouble } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import { differencesFrom, SITES, type Site, type SiteVersion } from "./queries";

const words = text.sites.versions;

interface VersionsProps {
  of: Site;
  /** Whether there are changes that are not saved: they would be lost. */
  isChanged: boolean;
  onRestored: (site: Site) => void;
}

export function SiteVersions({ of, isChanged, onRestored }: VersionsProps) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const params = { params: { path: { site_name: of.name } } };
  const found = useQuery({ queryKey: [...SITES, "versions", of.name, of.version], queryFn: () => ask(api.GET("/api/sites/{site_name}/versions", params)) });
  const restore = useMutation({
    mutationFn: (to: number) => ask(api.POST("/api/sites/{site_name}/rollback", { ...params, body: { to, version: of.version } })),
    onSuccess: (site, to) => {
      toasts.say(words.done(to));
      onRestored(site);
    },
    onError: (error) => toasts.fail(error),
    onSettled: () => queries.invalidateQueries({ queryKey: SITES }),
  });
  const items = found.data?.items ?? [];
  return (
    <>
      {found.isError && <Trouble error={found.error} onRetry={() => void found.refetch()} />}
      <ol className="history">
        {items.map((one, index) => (
          <Version key={one.version} of={one} site={of} isNow={index === 0} onRestore={isChanged || restore.isPending ? undefined : () => restore.mutate(one.version)} />
        ))}
      </ol>
      {isChanged && items.length > 1 && <p className="hint">{words.changed}</p>}
    </>
  );
}

function Version({ of, site, isNow, onRestore }: { of: SiteVersion; site: Site; isNow: boolean; onRestore: (() => void) | undefined }) {
  const [isCompared, setCompared] = useState(false);
  const fields = isCompared ? differencesFrom(site, of) : [];
  return (
    <li>
      <strong>{words.version(of.version)}</strong> {time(of.at)} {words.by(of.author)} {isNow && <Badge tone="good">{words.now}</Badge>}
      {!isNow && (
        <div className="acts">
          <Button kind="link" aria-expanded={isCompared} onClick={() => setCompared(!isCompared)}>
            {words.compare}
          </Button>
          {onRestore && (
            <Button kind="link" aria-label={`${words.restore}: ${words.version(of.version)}`} onClick={onRestore}>
              {words.restore}
            </Button>
          )}
        </div>
      )}
      {isCompared && (fields.length ? <Differences fields={fields} labels={text.sites.fields} /> : <p className="hint">{words.same}</p>)}
    </li>
  );
}
