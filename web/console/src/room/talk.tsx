/** Talks by voice with an agent that is called for this alone, and shows what is said. */

import { useBlocker } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";

import { addSegment, finalize, type Messages } from "../../../widget/src/transcript";
import { Problem, type Schemas } from "../api/client";
import { text } from "../text";
import { Button } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import type { Seat } from "./seat";

const words = text.talk;
type Doing = "nothing" | "joining" | "talking";

interface TalkProps {
  hint: string;
  /** Calls the agent. */
  begin: () => Promise<Schemas["SeatRead"]>;
  /** Stores what was said, once the call has ended; until it has, the words stay here. */
  onSaid?: (said: Messages) => Promise<void>;
}

export function Talk({ hint, begin, onSaid }: TalkProps) {
  const toasts = useToasts();
  const seat = useRef<Seat | null>(null);
  const hungUp = useRef(false);
  const [doing, setDoing] = useState<Doing>("nothing");
  const [isAnswered, setAnswered] = useState(false);
  const [isMuted, setMuted] = useState(false);
  const [level, setLevel] = useState(0);
  const said = useRef<Messages>([]);
  const [shown, setShown] = useState<Messages>([]);
  const show = (messages: Messages) => {
    said.current = messages;
    setShown(messages);
  };

  const store = useRef(onSaid);
  useEffect(() => {
    store.current = onSaid;
  });
  async function keep() {
    if (!store.current || !said.current.length) return;
    try {
      await store.current(said.current);
      show([]);
    } catch (error) {
      toasts.fail(error as Error);
    }
  }

  // Who goes to another page hangs up.
  useEffect(() => hangUp, []);
  const goesOn = () => seat.current !== null;
  useBlocker({ shouldBlockFn: () => goesOn() && !confirm(words.leave), enableBeforeUnload: goesOn });

  async function call() {
    hungUp.current = false;
    setDoing("joining");
    setAnswered(false);
    setMuted(false);
    show([]);
    try {
      const { Seat } = await import("./seat");
      const mine: Seat = new Seat({
        onLevel: setLevel,
        onSound: () => setAnswered(true),
        onSaid: (segment) => seat.current === mine && show(addSegment(said.current, segment)),
        onEnd: () => {
          if (seat.current !== mine) return;
          seat.current = null;
          setDoing("nothing");
          setLevel(0);
          show(finalize(said.current));
          void keep();
        },
      });
      seat.current = mine;
      const way = await begin();
      if (seat.current === mine) await mine.join(way, true);
      if (seat.current === mine) setDoing("talking");
      else await mine.leave();
    } catch (error) {
      seat.current = null;
      setDoing("nothing");
      if (!hungUp.current) toasts.fail(hasNoMicrophone(error as Error) ? new Problem(0, { detail: words.noMicrophone }) : (error as Error));
    }
  }

  function hangUp() {
    hungUp.current = true;
    void seat.current?.leave();
  }

  async function mute() {
    try {
      await seat.current?.mute(!isMuted);
      setMuted(!isMuted);
    } catch (error) {
      toasts.fail(error as Error);
    }
  }

  const state = doing === "joining" ? words.joining : !isAnswered ? words.waits : isMuted ? words.muted : words.talking;
  return (
    <div className="talk" role="group" aria-label={words.title}>
      {shown.length > 0 && (
        <ol className="said" aria-live="polite">
          {shown.map(({ id, who, text: spoken }) => (
            <li key={id} className={who === "caller" ? "user" : "assistant"}>
              <strong>{who === "caller" ? words.you : words.agent}</strong>
              <p>{spoken}</p>
            </li>
          ))}
        </ol>
      )}
      <div className="supervise">
        {doing === "nothing" ? (
          <>
            <Button onClick={() => void call()}>{words.on}</Button>
            {onSaid && shown.length > 0 && <Button onClick={() => void keep()}>{words.keep}</Button>}
          </>
        ) : (
          <>
            <span role="status">{state}</span>
            <meter min={0} max={1} value={level} aria-label={words.level} />
            {doing === "talking" && (
              <Button aria-pressed={isMuted} onClick={() => void mute()}>
                {isMuted ? words.unmute : words.mute}
              </Button>
            )}
            <Button kind="main" onClick={hangUp}>
              {words.off}
            </Button>
          </>
        )}
      </div>
      <p className="hint">{hint}</p>
    </div>
  );
}

/** The browser's words for a microphone that is not there, or not allowed. */
const hasNoMicrophone = ({ name }: Error) => ["NotAllowedError", "NotFoundError"].includes(name);
