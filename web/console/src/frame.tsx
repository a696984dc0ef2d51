/** What every page has: the ways to the others, and who is signed in. */

import { useQueryClient } from "@tanstack/react-query";
import { Link, Outlet } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { Palette } from "./palette";
import { signOut, useMe } from "./session";
import { text } from "./text";
import { Button } from "./ui/kit";
import { useToasts } from "./ui/toasts";

export function Frame() {
  const me = useMe();
  const queries = useQueryClient();
  const toasts = useToasts();
  const [isPaletteOpen, setPaletteOpen] = useState(false);
  useEffect(() => {
    const open = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setPaletteOpen(true);
      }
    };
    addEventListener("keydown", open);
    return () => removeEventListener("keydown", open);
  }, []);
  return (
    <>
      <a className="skip" href="#content">
        {text.skip}
      </a>
      <header className="top">
        <Link to="/connections" className="brand">
          {text.title}
        </Link>
        <nav aria-label={text.nav.label}>
          <Link to="/connections">{text.nav.connections}</Link>
          <Link to="/calls">{text.nav.calls}</Link>
          <Link to="/usage">{text.nav.usage}</Link>
          <Link to="/chat">{text.nav.chat}</Link>
          <Link to="/assistants">{text.nav.assistants}</Link>
          <Link to="/sites">{text.nav.sites}</Link>
          <Link to="/phone">{text.nav.phone}</Link>
        </nav>
        <div className="person">
          <Button kind="link" onClick={() => setPaletteOpen(true)}>
            {text.nav.palette}
          </Button>
          <span>{text.signIn.as(me.name, me.role)}</span>
          <Button kind="link" onClick={() => void signOut(queries).catch(toasts.fail)}>
            {text.signIn.out}
          </Button>
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <Outlet />
      </main>
      {isPaletteOpen && <Palette onClose={() => setPaletteOpen(false)} />}
    </>
  );
}
