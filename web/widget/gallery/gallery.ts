/**
 * Shows the widget in one state, `?state=queue&language=ar`, without a call: for pictures, and for tests of what people
 * see. `GET /site` must answer as the agent's server does.
 */

import "../src/element";

import type { PatchbayWidget } from "../src/element";
import { chooseLanguage, loadLanguage } from "../src/language";
import { type Messages } from "../src/transcript";
import { type Actions, View } from "../src/view";
import { ending, trouble } from "../src/words";

const ENGLISH = [
  ["caller", "Do you have a blue teapot, and when are you open?"],
  [
    "agent",
    "Yes, we have **two blue teapots**:\n- Ocean, 0.8 l, 39 euros\n- Midnight, 1.2 l, 49 euros\n\n" +
      "We open at nine on Saturday. All of it is at https://shop.example/teapots.",
  ],
  ["caller", "Please hold the small one for me."],
];
const ARABIC = [
  ["caller", "هل لديكم إبريق شاي أزرق، ومتى تفتحون؟"],
  [
    "agent",
    "نعم، لدينا **إبريقان أزرقان**:\n- «المحيط»، 0.8 لتر، 39 يورو\n- «منتصف الليل»، 1.2 لتر، 49 يورو\n\n" +
      "نفتح يوم السبت في الساعة التاسعة. تجدونها كلها على https://shop.example/teapots.",
  ],
  ["caller", "احجزوا لي الصغير من فضلكم."],
];
const asked = new URLSearchParams(window.location.search);
const SAID: Messages = (asked.get("language") === "ar" ? ARABIC : ENGLISH).map(([who, text], index) => ({
  id: String(index),
  who: who as "caller" | "agent",
  text: text ?? "",
  final: true,
  pending: false,
  reply: null,
}));
const SPOKEN = { id: "9", who: "agent", text: "It is yours until Saturday evening", final: false, pending: false, reply: null } as const;
const CHOICES = { microphone: "", hold: false, captions: false };

type State = (view: View, widget: PatchbayWidget) => void;

const called =
  (more: State = () => undefined): State =>
  (view, widget) => {
    view.phase("listening");
    view.transcript(SAID);
    more(view, widget);
  };

function press(widget: PatchbayWidget, id: string): void {
  widget.shadowRoot?.getElementById(id)?.click();
}

export const STATES: Readonly<Record<string, State>> = {
  closed: (_, widget) => widget.close(),
  open: () => undefined,
  "text-only": (view) => view.modes({ voice: false, text: true }),
  typed: (view) => {
    view.phase("idle");
    view.transcript(SAID);
    view.records({ saved: true, rated: true });
  },
  speaking: called((view) => {
    view.microphone("on");
    view.phase("speaking");
    view.levels(0.1, 0.8);
    view.transcript([...SAID, SPOKEN]);
  }),
  captions: called((view) => {
    view.choices({ ...CHOICES, captions: true });
    view.microphone("on");
    view.phase("speaking");
    view.transcript([...SAID, SPOKEN]);
  }),
  hold: called((view) => {
    view.choices({ ...CHOICES, hold: true });
    view.microphone("muted");
  }),
  choices: called((view, widget) => {
    view.records({ saved: true, rated: true });
    press(widget, "menu");
  }),
  forget: called((view, widget) => {
    view.records({ saved: true, rated: true });
    press(widget, "forget");
  }),
  queue: (view) => {
    view.phase("connecting");
    view.waits({ place: 2, takesMessages: true });
  },
  "leave-message": (view, widget) => {
    view.phase("connecting");
    view.waits({ place: 1, takesMessages: true });
    press(widget, "leave-open");
  },
  "call-back": (view, widget) => {
    view.phase("connecting");
    view.waits({ place: 1, takesMessages: true });
    press(widget, "call-back-open");
  },
  consent: (view) =>
    view.consent(
      "Our assistant is a machine. What you say and write is stored for 30 days to answer you.\n\n" +
        "More about it: [privacy](https://shop.example/privacy)",
      () => undefined,
    ),
  microphone: called((view) => view.notice(trouble("microphone-denied"))),
  play: called((view) => view.notice(trouble("sound-blocked"))),
  away: (view) => {
    view.phase("ended");
    view.notice(trouble("server-unreachable"));
  },
  rating: called((view, widget) => {
    view.notice(ending("hung-up-by-agent"));
    view.phase("ended");
    view.rating(true);
    widget.shadowRoot?.querySelector<HTMLInputElement>("[name=stars][value='4']")?.click();
  }),
};

const ACTIONS: Actions = {
  talk: () => undefined,
  hold: () => undefined,
  say: () => undefined,
  leaveMessage: () => undefined,
  rate: () => undefined,
  openRating: () => undefined,
  download: () => undefined,
  forget: () => undefined,
  hangUp: () => undefined,
  restart: () => undefined,
  act: () => undefined,
  choose: () => undefined,
  openChoices: () => undefined,
  onGesture: () => undefined,
};

async function show(name: string, tag: string): Promise<void> {
  const widget = document.createElement("patchbay-widget") as PatchbayWidget;
  widget.setAttribute("server", "");
  widget.setAttribute("language", tag);
  document.body.append(widget);
  const built = new Promise((resolve) => widget.addEventListener("patchbay-open", resolve, { once: true }));
  widget.open();
  await built;
  const body = widget.shadowRoot?.querySelector<HTMLElement>(".pw-body");
  if (!body) throw new Error("the widget has no body");
  const language = await loadLanguage(chooseLanguage([tag]));
  const view = new View(body, ACTIONS, { language, heading: "h2" });
  view.title(language.texts.label);
  view.modes({ voice: true, text: true });
  view.choices(CHOICES);
  view.microphones([]);
  view.focus();
  STATES[name]?.(view, widget);
  document.body.dataset.shown = name;
}

Object.assign(window, { states: Object.keys(STATES) });
void show(asked.get("state") ?? "open", asked.get("language") ?? "en");
