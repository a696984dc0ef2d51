/**
 * `<patchbay-widget server="https://HOST" site="site_…">`: a button, and the conversation that it opens.
 *
 * All of it is in a shadow root with constructed style sheets, so it neither takes the page's styles nor changes them,
 * and works under a strict Content-Security-Policy and Trusted Types. docs/widget.md lists its attributes, methods,
 * events, variables and parts.
 */

import { type Door, type PageContext, parseSite, requestSite } from "./api";
import { html } from "./dom";
import { closeIcon, mark } from "./icons";
import { chooseLanguage, loadLanguage } from "./language";
import { takeCall } from "./leaving";
import conversationStyle from "./style.css?inline";
import widgetStyle from "./style/widget.css?inline";
import { Panel } from "./panel";
import { stayInBody } from "./stay";
import { Talk, type TalkEvents } from "./talk";

const ROOT_FONT_SIZE = 16;
/** Characters of JSON that a page's context may have. */
const MAX_CONTEXT = 2_000;

/** Makes lengths of `rem` independent of the page, whose root may have any size. */
function inPixels(style: string): string {
  return style.replace(/(\d*\.?\d+)rem\b/g, (_, count: string) => `${Number(count) * ROOT_FONT_SIZE}px`);
}

function sheet(style: string): CSSStyleSheet {
  const made = new CSSStyleSheet();
  made.replaceSync(inPixels(style));
  return made;
}

/** Whether a text is JSON already. */
function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const loadCall = () => import("./call");

export class PatchbayWidget extends HTMLElement {
  /** The answer of the server's site route, where the script that adds the element has asked already. */
  answer: unknown;
  #talk: Talk | null = null;
  #panel: Panel | null = null;
  #context: PageContext | undefined;
  /** Methods that were called before the widget was built. */
  #waiting: (() => void)[] = [];
  #isBuilding = false;
  /** Ends what the widget hears of the page; null: it is not in the page. */
  #listening: AbortController | null = null;

  connectedCallback(): void {
    if (!this.#isBuilding) return this.#tryToBuild();
    this.#rise(); // moved within the page
    this.#listen();
  }

  disconnectedCallback(): void {
    // Moving an element removes it and adds it again, in one task.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#talk?.hangUp();
      this.#listening?.abort();
      this.#listening = null;
    });
  }

  /** Opens the conversation. */
  open(): void {
    this.#do(() => this.#panel?.open());
  }

  /** Closes it. A call goes on, and is there when it is opened again. */
  close(): void {
    this.#do(() => this.#panel?.close());
  }

  /** Opens it and sends a message in the visitor's name. */
  say(text: string): void {
    this.#do(() => {
      this.#panel?.open();
      if (text.trim()) this.#talk?.say(text.trim());
    });
  }

  /**
   * Says something about the page or its visitor to the assistant, with each message and each call from now on; null:
   * nothing. A text may be JSON. With the signature of the site's server over the same data it is trusted. Throws RangeError if it is too long.
   */
  setContext(data: unknown, signature?: string): void {
    const isJson = typeof data === "string" && (signature !== undefined || parses(data));
    const json = isJson ? data : JSON.stringify(data ?? null);
    if (json.length > MAX_CONTEXT) throw new RangeError(`a context has at most ${MAX_CONTEXT} characters`);
    this.#context = data === null || data === undefined ? undefined : { data: json, signature };
  }

  /** Deletes the conversation at the server and here; rejects if the server cannot be reached. */
  async forget(): Promise<void> {
    await this.#talk?.forget();
  }

  /** Returns what was said in writing and aloud, as a text to save. */
  async transcript(): Promise<string> {
    return (await this.#talk?.transcript()) ?? "";
  }

  #do(action: () => void): void {
    if (this.#talk) action();
    else {
      this.#waiting.push(action);
      if (!this.#isBuilding && this.isConnected) this.#tryToBuild();
    }
  }

  /** After a failure the next call of a method tries again. */
  #tryToBuild(): void {
    this.#isBuilding = true;
    this.#build().catch((error: unknown) => {
      this.#isBuilding = false;
      console.warn(`Patchbay: no widget is shown: ${String(error)}`);
    });
  }

  /** Draws nothing before the server has answered: the page stays as it is while it is away. */
  async #build(): Promise<void> {
    const asked = this.answer === undefined ? requestSite(this.#door()) : parseSite(this.answer);
    const [site, language] = await Promise.all([asked, loadLanguage(chooseLanguage(this.#wantedLanguages()))]);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet(conversationStyle), sheet(widgetStyle)];
    const { texts } = language;
    const label = this.getAttribute("label") || texts.label;
    const opened = { "aria-expanded": "false", "aria-haspopup": "dialog" };
    const button = html("button", { type: "button", part: "button", "aria-label": label, title: label, ...opened }, mark());
    const close = html("button", { type: "button", class: "pw-close", "aria-label": texts.close, title: texts.close });
    close.append(closeIcon());
    const body = html("div", { class: "pw-body" });
    const shown = { class: "pw-root", lang: language.tag, dir: language.direction };
    const named = { part: "panel", "aria-label": label };
    const box = html("dialog", named, body, close) as HTMLDialogElement;
    if (this.#isInline) root.append(html("div", shown, html("div", { ...named, role: "region" }, body)));
    else root.append(html("div", { ...shown, popover: "manual" }, button, box));
    const rated = this.getAttribute("rating") !== "off";
    const options = { language, heading: "h2", rated, written: site.text, events: this.#events() };
    const talk = new Talk(body, () => this.#door(), loadCall, options);
    talk.view.title(label);
    const panel = new Panel(box, button, close, {
      opened: () => {
        if (!site.text) void loadCall().catch(() => undefined); // ready by the first word
        talk.view.focus();
        void talk.resume();
        this.#tell("patchbay-open");
      },
      closed: () => this.#tell("patchbay-close"),
    });
    this.#talk = talk;
    this.#panel = this.#isInline ? null : panel;
    this.#rise();
    this.#listen();
    stayInBody(this);
    talk.view.modes(site);
    talk.askConsent(this.getAttribute("consent") || site.consent);
    if (this.#isInline) void talk.resume();
    if (site.text && site.voice && takeCall(this.#door().site ?? "")) {
      this.#panel?.open();
      void talk.goOn();
    }
    for (const action of this.#waiting.splice(0)) action();
  }

  #wantedLanguages(): readonly string[] {
    const named = [this.getAttribute("language"), document.documentElement.lang, ...navigator.languages];
    return named.filter((tag): tag is string => Boolean(tag));
  }

  get #isInline(): boolean {
    return this.hasAttribute("inline");
  }

  /** Puts the button above all else in the page, whatever z-index or transform it uses, and an open panel with it. */
  #rise(): void {
    if (!this.#panel || !this.isConnected) return;
    this.shadowRoot?.querySelector<HTMLElement>(".pw-root")?.showPopover?.();
    this.#panel.rise();
  }

  /** Hears what happens in the page while the widget is there. */
  #listen(): void {
    if (!this.#talk || this.#listening || !this.isConnected) return;
    const { signal } = (this.#listening = new AbortController());
    this.#talk.listen(signal);
    this.#panel?.listen(signal);
  }

  #door(): Door {
    return {
      server: this.getAttribute("server") ?? "",
      site: this.getAttribute("site") ?? undefined,
      context: this.#context,
      language: /^[A-Za-z0-9-]{1,35}$/.exec(this.#wantedLanguages()[0] ?? "")?.[0],
    };
  }

  #events(): TalkEvents {
    return {
      phase: (phase) => this.#tell("patchbay-phase", phase),
      message: (who, text) => this.#tell("patchbay-message", { who, text }),
      notice: ({ kind, tone }) => tone === "trouble" && this.#tell("patchbay-trouble", kind),
      consent: (agreed) => {
        this.#tell("patchbay-consent", agreed);
        if (!agreed) this.close();
      },
      rating: (stars) => this.#tell("patchbay-rating", stars),
    };
  }

  #tell(name: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

// Another copy may be in the page.
if (!customElements.get("patchbay-widget")) customElements.define("patchbay-widget", PatchbayWidget);
