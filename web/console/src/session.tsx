/** Who is signed in. A session that ends opens a window above the page, so that nothing typed is lost. */

import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { createContext, useContext, useState, type ReactNode } from "react";

import { api, ask, Problem, type Action, type Me } from "./api/client";
import { text } from "./text";
import { Button, Dialog, Field, Trouble } from "./ui/kit";

const ME = ["me"];
const Context = createContext<Me | null>(null);

/** Returns the person who is signed in. */
export function useMe(): Me {
  const me = useContext(Context);
  if (!me) throw new Error("nobody is signed in");
  return me;
}

/** Returns whether the person may do this with a connection, or with some connection at all. */
export function useMay(): (action: Action, of?: { owner: string; team: string }) => boolean {
  const me = useMe();
  return (action, of) => {
    if (!me.may.includes(action)) return false;
    if (!of || me.role === "admin" || action === "test" || action === "use" || action === "read") return true;
    return of.owner === me.owner || (of.team !== "" && of.team === me.team);
  };
}

/** Asks for a key again when the API no longer knows the session. */
export function noticeSignOut(error: Error, queries: QueryClient): void {
  if (error instanceof Problem && error.status === 401) queries.setQueryData(ME, null);
}

export function Session({ children }: { children: ReactNode }) {
  const [last, setLast] = useState<Me | null>(null);
  const me = useQuery({
    queryKey: ME,
    queryFn: async () => {
      try {
        return await ask(api.GET("/api/me"));
      } catch (error) {
        if (error instanceof Problem && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: Infinity,
  });
  if (me.data && me.data !== last) setLast(me.data);
  if (me.isPending) return <p className="waiting">{text.loading}</p>;
  if (me.isError && !last) return <Trouble error={me.error} onRetry={() => void me.refetch()} />;
  const shown = me.data ?? last;
  return (
    <>
      {shown && <Context value={shown}>{children}</Context>}
      {!me.data && <SignIn isAgain={last !== null} />}
    </>
  );
}

function SignIn({ isAgain }: { isAgain: boolean }) {
  const queries = useQueryClient();
  const [key, setKey] = useState("");
  const [error, setError] = useState<Error | null>(null);
  const [isBusy, setBusy] = useState(false);
  async function submit() {
    setBusy(true);
    try {
      queries.setQueryData(ME, await ask(api.POST("/api/session", { body: { api_key: key } })));
      await queries.invalidateQueries({ predicate: (query) => query.queryKey[0] !== ME[0] });
    } catch (caught) {
      setError(caught as Error);
    } finally {
      setBusy(false);
    }
  }
  return (
    <Dialog title={text.signIn.title} fixed>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        {isAgain && <p>{text.signIn.again}</p>}
        <Field label={text.signIn.key} hint={text.signIn.hint}>
          {(ids) => <input {...ids} type="password" autoComplete="current-password" autoFocus required maxLength={200} value={key} onChange={(event) => setKey(event.target.value)} />}
        </Field>
        {error && <Trouble error={error} />}
        <footer>
          <Button kind="main" type="submit" disabled={isBusy}>
            {text.signIn.submit}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

/** Ends the session in this browser, and at the server. */
export async function signOut(queries: QueryClient): Promise<void> {
  await ask(api.DELETE("/api/session"));
  queries.clear();
  location.reload();
}
