/**
 * Turns a reply into elements: paragraphs, lists, bold words, code, and links to pages, addresses and numbers. Builds
 * nodes and never parses HTML, so whatever a model writes stays text; pictures are shown as their words.
 */

import { html } from "./dom";

const SCHEMES = ["http:", "https:", "mailto:", "tel:"];
const BULLET = /^\s{0,6}[-*•]\s+(?=\S)/;
const NUMBER = /^\s{0,6}(\d{1,3})[.)]\s+(?=\S)/;
/** What may stand within a line: `[words](address)`, an address alone, bold words, code. No part of it can backtrack. */
const INLINE =
  /!?\[([^[\]\n]{1,300})\]\(([^()\s]{1,2000})\)|\b(?:https?:\/\/|mailto:|tel:)[^\s<>"'()[\]{}]{1,2000}|\*\*([^*\n]{1,1000})\*\*|`([^`\n]{1,1000})`/gi;
/** Marks that end a sentence rather than the address before them. */
const AFTER_ADDRESS = /[.,;:!?*_~…。、]+$/;

/** Returns the blocks of a reply, in order. */
export function rich(text: string): readonly HTMLElement[] {
  const blocks: HTMLElement[] = [];
  let lines: string[] = [];
  const paragraph = () => {
    const inner = lines.flatMap((line, index) => [...(index > 0 ? [html("br")] : []), ...inline(line)]);
    if (inner.length > 0) blocks.push(html("p", { dir: "auto" }, ...inner));
    lines = [];
  };
  for (const line of text.split("\n")) {
    const bullet = BULLET.exec(line);
    const number = NUMBER.exec(line);
    const mark = bullet ?? number;
    if (mark) {
      paragraph();
      listFor(blocks, number).append(html("li", {}, ...inline(line.slice(mark[0].length))));
    } else if (line.trim() === "") {
      paragraph();
    } else {
      lines.push(line.replace(/^#{1,6}\s+/, ""));
    }
  }
  paragraph();
  return blocks;
}

/** Returns the list that a line goes on, or a new one after the blocks. */
function listFor(blocks: HTMLElement[], number: RegExpExecArray | null): HTMLElement {
  const kind = number ? "ol" : "ul";
  const last = blocks.at(-1);
  if (last?.localName === kind) return last;
  // The list rather than its items has the direction: its marks stand on that side.
  const list = number ? html("ol", { start: number[1] ?? "1", dir: "auto" }) : html("ul", { dir: "auto" });
  blocks.push(list);
  return list;
}

function inline(line: string): readonly (Node | string)[] {
  const nodes: (Node | string)[] = [];
  let end = 0;
  for (const found of line.matchAll(INLINE)) {
    const [all, words, address, bold, code] = found;
    nodes.push(line.slice(end, found.index));
    end = found.index + all.length;
    if (bold !== undefined) nodes.push(html("strong", {}, bold));
    else if (code !== undefined) nodes.push(html("code", {}, code));
    else if (words !== undefined && all.startsWith("!")) nodes.push(words);
    else if (words !== undefined) nodes.push(link(address ?? "", words) ?? all);
    else {
      const bare = all.replace(AFTER_ADDRESS, "");
      nodes.push(link(bare, bare.replace(/^(mailto|tel):/i, "")) ?? bare, all.slice(bare.length));
    }
  }
  nodes.push(line.slice(end));
  return nodes.filter((node) => node !== "");
}

/** Makes a link; null if the address is none that is safe to open. */
function link(address: string, words: string): HTMLElement | null {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (!SCHEMES.includes(url.protocol) || url.username || url.password) return null;
  const anchor = html("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" });
  const isPlain = words === address && address.toLowerCase().startsWith(`${url.protocol}//${url.host}`);
  // Words that look like another host would deceive, and so would letters that look like others. Both are isolated:
  // marks in the words that turn the direction would write the host backwards.
  if (url.host && !isPlain) anchor.append(html("bdi", {}, words), " (", html("bdi", { dir: "ltr" }, url.host), ")");
  else anchor.append(words);
  return anchor;
}
