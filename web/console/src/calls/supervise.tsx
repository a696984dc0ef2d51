/** Listens to a call that goes on, or answers it in the agent's place and gives it back. */

import { useEffect, useRef, useState } from "react";

import { api, ask, type Call } from "../api/client";
import type { Seat } from "../room/seat";
import { text } from "../text";
import { Button } from "../ui/kit";
import { useToasts } from "../ui/toasts";

const words = text.supervise;
/** Seconds after which a listener has to ask again. */
const LISTENS_FOR = 900;
type Doing = "nothing" | "joining" | "listening" | "speaking";

export function Supervise({ of }: { of: Call }) {
  const toasts = useToasts();
  const seat = useRef<Seat | null>(null);
  /** Number of the seat that is wanted; an earlier one that is still being joined is left. */
  const wanted = useRef(0);
  const [doing, setDoing] = useState<Doing>("nothing");
  const [level, setLevel] = useState(0);
  const [isMuted, setMuted] = useState(false);
  const params = { params: { path: { call_id: of.id } } };

  // Who closes the page, or goes to another, leaves the call.
  useEffect(
    () => () => {
      wanted.current += 1;
      void seat.current?.leave();
    },
    [],
  );
  useEffect(() => {
    if (doing !== "speaking") return undefined;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [doing]);

  async function join(speaks: boolean) {
    const number = ++wanted.current;
    const isWanted = () => wanted.current === number;
    setDoing("joining");
    try {
      const { Seat } = await import("../room/seat");
      if (!isWanted()) return;
      const taken: Seat = new Seat({
        onLevel: setLevel,
        onEnd: () => {
          if (seat.current !== taken) return;
          seat.current = null;
          setDoing("nothing");
          setLevel(0);
        },
      });
      seat.current = taken;
      const way = speaks ? api.POST("/api/calls/{call_id}/take-over", params) : api.POST("/api/calls/{call_id}/listen", { ...params, body: { seconds: LISTENS_FOR } });
      const place = await ask(way);
      if (isWanted()) await taken.join(place, speaks);
      if (!isWanted()) {
        await taken.leave();
        return;
      }
      setMuted(false);
      setDoing(speaks ? "speaking" : "listening");
    } catch (error) {
      if (!isWanted()) return;
      seat.current = null;
      setDoing("nothing");
      toasts.fail(error as Error);
    }
  }

  async function leave(gives_back: boolean) {
    try {
      if (gives_back) {
        await ask(api.POST("/api/calls/{call_id}/release", params));
        toasts.say(words.given);
      }
      await seat.current?.leave();
    } catch (error) {
      toasts.fail(error as Error);
    }
  }

  async function mute() {
    try {
      await seat.current?.mute(!isMuted);
      setMuted(!isMuted);
    } catch (error) {
      toasts.fail(error as Error);
    }
  }

  if (of.state !== "agent" && of.state !== "handed_over") return null;
  const isWithSupervisor = of.state === "handed_over" && of.metadata.handed_to === "supervisor";
  return (
    <div className="supervise" role="group" aria-label={words.title}>
      {doing === "nothing" && (
        <>
          <Button onClick={() => void join(false)}>{words.listen}</Button>
          {(of.state === "agent" || isWithSupervisor) && <Button onClick={() => void join(true)}>{words.takeOver}</Button>}
          {isWithSupervisor && <Button onClick={() => void leave(true)}>{words.giveBack}</Button>}
          <span className="hint">{of.state === "agent" ? words.hint : words.withPerson}</span>
        </>
      )}
      {doing === "joining" && <span role="status">{words.joining}</span>}
      {(doing === "listening" || doing === "speaking") && (
        <>
          <span role="status">{doing === "listening" ? words.listening : of.state === "agent" ? words.agentLeaves : words.speaking}</span>
          <meter min={0} max={1} value={level} aria-label={words.level} />
          {doing === "listening" && <Button onClick={() => void leave(false)}>{words.stop}</Button>}
          {doing === "speaking" && (
            <>
              <Button aria-pressed={isMuted} onClick={() => void mute()}>
                {isMuted ? words.unmute : words.mute}
              </Button>
              <Button kind="main" onClick={() => void leave(of.state === "handed_over")}>
                {words.giveBack}
              </Button>
            </>
          )}
        </>
      )}
    </div>
  );
}
