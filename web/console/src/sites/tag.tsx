/** The line for a site's pages, its key and its server's secret. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask } from "../api/client";
import { text } from "../text";
import { Button, Dialog, Trouble } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import { frameOf, SITES, tagOf, type Site } from "./queries";

const words = text.sites;

export function SiteTag({ of, onClose, onRotated }: { of: Site; onClose: () => void; onRotated: (site: Site) => void }) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const [isRotating, setRotating] = useState(false);
  const path = { site_name: of.name };
  const secret = useMutation({ mutationFn: () => ask(api.GET("/api/sites/{site_name}/secret", { params: { path } })) });
  const rotate = useMutation({
    mutationFn: () => ask(api.POST("/api/sites/{site_name}/rotate-key", { params: { path } })),
    onSuccess: (site) => {
      setRotating(false);
      secret.reset();
      toasts.say(words.rotated(site.key));
      onRotated(site);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: SITES }),
  });
  if (isRotating) {
    return (
      <Dialog title={words.rotateTitle(of.name)} onClose={() => setRotating(false)}>
        <p>{words.rotateText}</p>
        {rotate.isError && <Trouble error={rotate.error} />}
        <footer>
          <Button onClick={() => setRotating(false)}>{text.cancel}</Button>
          <Button kind="danger" disabled={rotate.isPending} onClick={() => rotate.mutate()}>
            {words.rotate}
          </Button>
        </footer>
      </Dialog>
    );
  }
  return (
    <Dialog title={of.name} onClose={onClose} wide>
      <section>
        <Line title={words.tag} line={tagOf(location.origin, of.key)} />
        <p className="hint">{words.tagHint}</p>
        <Line title={words.frame} line={frameOf(location.origin, of.key)} />
        <p className="hint">{words.secretHint}</p>
        {secret.isError && <Trouble error={secret.error} />}
        {secret.data && (
          <pre className="code" tabIndex={0}>
            {secret.data.secret}
          </pre>
        )}
      </section>
      <footer>
        {!secret.data && (
          <Button disabled={secret.isPending} onClick={() => secret.mutate()}>
            {words.secret}
          </Button>
        )}
        <Button kind="danger" onClick={() => setRotating(true)}>
          {words.rotate}
        </Button>
        <Button kind="main" onClick={onClose}>
          {text.close}
        </Button>
      </footer>
    </Dialog>
  );
}

function Line({ title, line }: { title: string; line: string }) {
  const toasts = useToasts();
  return (
    <>
      <h3>{title}</h3>
      <pre className="code" tabIndex={0} aria-label={title}>
        {line}
      </pre>
      <div>
        <Button aria-label={`${words.copy}: ${title}`} onClick={() => void navigator.clipboard.writeText(line).then(() => toasts.say(words.copied), toasts.fail)}>
          {words.copy}
        </Button>
      </div>
    </>
  );
}
