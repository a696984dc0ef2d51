/**
 * The script of one line that websites include:
 *
 *   <script src="https://HOST/widget.js" data-site="site_…" async></script>
 *
 * What the tag says as `data-…` may stand in its address as well, `widget.js?site=site_…`, for tools that drop the
 * attributes of scripts. It adds nothing to the page until the agent's server has answered: a server that is away, or
 * refuses the site, leaves the page as it is, with the reason in the console. It must stay small: every visitor of the
 * website loads it.
 */

// One function: what stands outside would be a variable of the website's.
(() => {
  // The browser does not say which script runs where a tag manager or an optimiser adds it.
  const own = 'script[src*="/widget.js"][data-site], script[src*="/widget.js?"]';
  const script = document.currentScript ?? document.querySelector(own);
  // Optimisers of pages, tag managers and consent banners leave marks of their own on a script.
  const NAMES = ["site", "label", "side", "language", "consent", "rating"];
  if (!(script instanceof HTMLScriptElement) || !script.src) return;
  const address = new URL(script.src);
  const server = new URL(".", address).href.slice(0, -1);

  async function load(data: DOMStringMap): Promise<void> {
    if (document.querySelector("patchbay-widget")) return; // the tag stands in the page twice
    // A page of the agent's own server needs no key.
    const query = data.site === undefined ? "" : `?site=${encodeURIComponent(data.site)}`;
    const answer = await fetch(`${server}/site${query}`, { credentials: "omit" });
    const body = (await answer.json().catch(() => null)) as { detail?: string } | null;
    if (!answer.ok) throw new Error(body?.detail ?? `the server answers ${answer.status}`);
    // A relative name would be taken from nowhere: a script of another origin has no address of its own.
    await import(/* @vite-ignore */ `${server}/widget/element.js`);
    if (document.querySelector("patchbay-widget")) return;
    const widget = Object.assign(document.createElement("patchbay-widget"), { answer: body });
    widget.setAttribute("server", server);
    for (const name of NAMES) if (data[name] !== undefined) widget.setAttribute(name, data[name]);
    document.body.append(widget);
  }

  function start(data: DOMStringMap): void {
    load(data).catch((error: unknown) => console.warn(`Patchbay: no widget is shown: ${String(error)}`));
  }

  // Without what a page may have added to all objects.
  const none = Object.create(null) as DOMStringMap;
  const data = Object.assign(none, Object.fromEntries(address.searchParams), script.dataset);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => start(data));
  else start(data);
})();
