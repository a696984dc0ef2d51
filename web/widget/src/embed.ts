/**
 * The page for a frame of another website, `https://HOST/embed/SITE`: the conversation, which fills the window.
 *
 * Some of what stands in the address after `?` becomes attributes of the element, as `data-…` of the script does.
 */

/** Others, such as the text of the consent, are for the site alone: anybody can write a link to this page. */
const FROM_ADDRESS = ["label", "language", "rating"];

const page = new CSSStyleSheet();
page.replaceSync("html, body { height: 100%; margin: 0; }");
document.adoptedStyleSheets = [page];

// The visitor's language, unless the address names one.
document.documentElement.lang = navigator.language;

// The page is at …/embed/SITE, and its server at what stands before.
const [server = "", site = ""] = window.location.href.split(/[?#]/)[0]?.split("/embed/") ?? [];
const widget = document.createElement("patchbay-widget");
const given = new URLSearchParams(window.location.search);
for (const name of FROM_ADDRESS) {
  const value = given.get(name);
  if (value !== null) widget.setAttribute(name, value);
}
widget.setAttribute("server", server);
widget.setAttribute("site", decodeURIComponent(site));
widget.setAttribute("inline", "");
document.body.append(widget);

export {};
