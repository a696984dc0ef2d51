/** Builds the fixed part of what is shown. The view adds text from outside, as text. */

import { html } from "./dom";
import { bars, mark, menuIcon, microphoneIcon, sendIcon, star } from "./icons";
import type { Texts } from "./texts/en";

/** Stars that a conversation can get. */
const STARS = [1, 2, 3, 4, 5] as const;

function button(id: string, text: string, look = "", hidden = false): HTMLElement {
  const attributes = { id, "data-testid": id, type: "button", class: `pb-plain ${look}`.trim() };
  return html("button", hidden ? { ...attributes, hidden: true } : attributes, text);
}

function submit(id: string, text: string): HTMLElement {
  return html("button", { "data-testid": id, type: "submit", class: "pb-plain pb-main" }, text);
}

function header(texts: Texts, heading: string): HTMLElement {
  return html(
    "header",
    { class: "pb-header", part: "header" },
    html(heading, { class: "pb-heading" }, mark(), html("span", { id: "title" }, "Patchbay")),
    menu(texts),
    html("p", { id: "models", "data-testid": "models", class: "pb-models" }),
    html(
      "details",
      { class: "pb-hint", hidden: true },
      html("summary", {}, "Set-up"),
      html("p", { id: "hint", "data-testid": "hint" }),
    ),
  );
}

function choice(id: string, text: string): HTMLElement {
  return html("label", { class: "pb-choice" }, html("input", { id, "data-testid": id, type: "checkbox" }), ` ${text}`);
}

/** The visitor's own choices: which microphone, how to talk, how to read. */
function menu(texts: Texts): HTMLElement {
  const summary = html("summary", { id: "menu", "data-testid": "menu", "aria-label": texts.settings, title: texts.settings });
  summary.append(menuIcon());
  return html(
    "details",
    { class: "pb-menu" },
    summary,
    html(
      "div",
      { class: "pb-menu-box", role: "group", "aria-label": texts.settings },
      html(
        "div",
        { class: "pb-voice-choices" },
        html("label", { for: "microphone" }, texts.microphone),
        html("select", { id: "microphone", "data-testid": "microphone" }),
        choice("hold", texts.holdToTalk),
        choice("captions", texts.captions),
      ),
      html(
        "div",
        { class: "pb-menu-more", hidden: true },
        button("rating-open", texts.rate),
        button("download", texts.download),
        button("forget", texts.delete),
      ),
    ),
  );
}

function transcript(texts: Texts): HTMLElement {
  return html(
    "div",
    { class: "pb-scroll", part: "conversation", tabindex: "0", role: "group", "aria-label": texts.conversation },
    html(
      "p",
      { class: "pb-empty" },
      html("span", { id: "empty" }, texts.empty),
      html("span", { class: "pb-as-spoken" }, texts.asSpoken),
    ),
    html("div", {
      id: "log",
      "data-testid": "log",
      role: "log",
      "aria-live": "polite",
      "aria-relevant": "additions",
      "aria-label": texts.transcript,
    }),
  );
}

/** The status stays in place while it is empty: screen readers miss what appears together with its words. */
function notice(texts: Texts): HTMLElement {
  return html(
    "div",
    { class: "pb-notice" },
    html("p", { id: "notice", "data-testid": "notice", role: "status", dir: "auto" }),
    button("act", texts.play, "pb-main", true),
    button("restart", texts.restart, "pb-main", true),
  );
}

function field(tag: "input" | "textarea", id: string, label: string, more: Readonly<Record<string, string | true>>): HTMLElement[] {
  return [html("label", { for: id }, label), html(tag, { id, "data-testid": id, ...more })];
}

/** The place in the queue, and what one can do in place of waiting. */
function queue(texts: Texts): HTMLElement {
  const keep = () => html("button", { type: "button", class: "pb-plain pb-keep" }, texts.keepWaiting);
  return html(
    "section",
    { class: "pb-card pb-queue", "data-testid": "queue", "aria-label": texts.busy, hidden: true },
    html("p", { class: "pb-place", id: "place", "data-testid": "place" }),
    html(
      "div",
      { class: "pb-row pb-instead" },
      button("leave-open", texts.leaveMessage),
      button("call-back-open", texts.callBack),
    ),
    html(
      "form",
      { class: "pb-leave", "data-testid": "leave-message", "aria-label": texts.leaveMessage, hidden: true },
      ...field("textarea", "leave-text", texts.yourMessage, { rows: "2", maxlength: "2000", required: true, dir: "auto" }),
      ...field("input", "leave-contact", texts.contact, {
        type: "text",
        maxlength: "200",
        placeholder: texts.contactHint,
        required: true,
      }),
      html("div", { class: "pb-row" }, keep(), submit("leave-send", texts.leaveMessage)),
    ),
    html(
      "form",
      { class: "pb-call-back", "data-testid": "call-back", "aria-label": texts.callBack, hidden: true },
      ...field("input", "call-back-number", texts.number, {
        type: "tel",
        autocomplete: "tel",
        maxlength: "40",
        pattern: "[+]?[\\d\\s().\\-\\/]{3,38}",
        dir: "ltr",
        required: true,
      }),
      html("div", { class: "pb-row" }, keep(), submit("call-back-send", texts.callBack)),
    ),
  );
}

/** The question how a conversation was, after its end. */
function rating(texts: Texts): HTMLElement {
  const stars = STARS.map((count) => {
    const label = texts.stars.replace("{stars}", String(count));
    const input = html("input", { type: "radio", name: "stars", value: String(count), "aria-label": label, required: true });
    return html("label", { class: "pb-star", title: label }, input, star());
  });
  return html(
    "form",
    { class: "pb-card pb-rating", "data-testid": "rating", "aria-label": texts.rate, hidden: true },
    html("fieldset", {}, html("legend", {}, texts.rate), html("div", { class: "pb-stars" }, ...stars)),
    html(
      "div",
      { class: "pb-comment", hidden: true },
      ...field("textarea", "comment", texts.comment, { rows: "2", maxlength: "1000", dir: "auto" }),
    ),
    html("div", { class: "pb-row" }, button("rating-skip", texts.skip), submit("rating-send", texts.send)),
  );
}

/** The question before a conversation is deleted. */
function forget(texts: Texts): HTMLElement {
  const named = { role: "alertdialog", "aria-labelledby": "forget-ask" };
  return html(
    "section",
    { class: "pb-card pb-forget", "data-testid": "forget-question", ...named, hidden: true },
    html("p", { id: "forget-ask" }, texts.deleteAsk),
    html("div", { class: "pb-row" }, button("forget-not", texts.decline), button("forget-now", texts.deleteForGood, "pb-main")),
  );
}

/** The text that a visitor agrees to first. */
function consent(texts: Texts): HTMLElement {
  return html(
    "section",
    { class: "pb-consent", "data-testid": "consent", "aria-labelledby": "consent-title", hidden: true },
    html("p", { id: "consent-title", class: "pb-consent-title" }, texts.consent),
    html("div", { id: "consent-text", class: "pb-rich", tabindex: "0", role: "group", "aria-label": texts.consent }),
    html("div", { class: "pb-row" }, button("decline", texts.decline), button("agree", texts.agree, "pb-main")),
  );
}

function stage(texts: Texts): HTMLElement {
  const talk = { id: "talk", "data-testid": "talk", type: "button", class: "pb-talk", part: "talk", "aria-label": texts.talk };
  return html(
    "section",
    { class: "pb-stage", "aria-label": texts.call },
    html("button", { ...talk, "aria-pressed": "false", "aria-describedby": "talk-caption" }, microphoneIcon()),
    html("p", { class: "pb-state" }, bars(), " ", html("span", { id: "state", "data-testid": "state" })),
    html("p", { id: "talk-caption", class: "pb-caption" }),
    button("end", texts.end, "pb-end", true),
  );
}

function textForm(texts: Texts): HTMLElement {
  return html(
    "form",
    { class: "pb-form" },
    html("label", { for: "text", class: "pb-hidden" }, texts.message),
    html("input", {
      id: "text",
      part: "input",
      "data-testid": "text",
      name: "text",
      type: "text",
      autocomplete: "off",
      enterkeyhint: "send",
      dir: "auto",
      placeholder: texts.placeholder,
    }),
    html(
      "button",
      { id: "send", "data-testid": "send", type: "submit", class: "pb-send", part: "send", "aria-label": texts.send },
      html("span", { class: "pb-wide" }, texts.send),
      sendIcon(),
    ),
  );
}

/** Returns the elements of a conversation, in the order of reading. `heading` is the tag of its title. */
export function conversation(texts: Texts, heading: string): readonly HTMLElement[] {
  const captions = html("p", { class: "pb-captions", "data-testid": "spoken", "aria-hidden": "true", dir: "auto", hidden: true });
  return [
    header(texts, heading),
    transcript(texts),
    captions,
    notice(texts),
    queue(texts),
    rating(texts),
    forget(texts),
    stage(texts),
    textForm(texts),
    consent(texts),
  ];
}
