/** The host's code, for as long as nobody has used it. */
import type { Intent, ShownCode, SourceEntry, Visit } from "peerline";
import { announce } from "./announce.js";
import { button, foreign, h } from "./dom.js";
import { bytes, files } from "./format.js";
import { qrCode } from "./qr.js";

const NOBODY = "Waiting for the other side…";

/** What is said of somebody who is in the room but is not the other side, or not yet. */
const VISITS: Readonly<Record<Visit, string>> = {
  came: "Somebody is in the room but has not shown the code yet…",
  left: "Somebody came and went without the code. Still waiting for the other side…",
  silent: "Somebody sat in the room without showing the code. Making it again without them…",
};

/** Before there is a code. */
export function making(cancel: () => void): HTMLElement {
  return h("div", {}, h("h1", {}, "Making a code…"), h("div", { class: "actions" }, button("plain", "Cancel", cancel)));
}

/** The code, link and QR, with what will be sent, and how the waiting goes. */
export class WaitingView {
  readonly element: HTMLElement;
  readonly #news = h("span", {}, NOBODY);
  #last: Visit | undefined;

  constructor(shown: ShownCode, intent: Intent, entries: readonly SourceEntry[], cancel: () => void) {
    this.element = h(
      "div",
      {},
      h("h1", {}, "Give them this code"),
      h(
        "div",
        { class: "card code-card" },
        h(
          "div",
          {},
          h("p", { class: "code", "aria-label": `Code ${shown.code}` }, shown.code),
          h("div", { class: "actions" }, copying("primary", "Copy link", shown.link), copying("plain", "Copy code", shown.code)),
          // The link, because a terminal elsewhere does not know this server.
          h("p", { class: "aside" }, "In a terminal:"),
          h("code", { class: "command" }, command(intent, shown.link)),
          h("p", { class: "aside" }, "It works once, and only while this page is open."),
        ),
        qrCode(shown.link, "QR code of the link"),
      ),
      entries.length > 0 ? chosenFiles(entries) : undefined,
      h("p", { class: "waiting", role: "status" }, h("span", { class: "dot busy", "aria-hidden": "true" }), this.#news),
      h("div", { class: "actions" }, button("plain", "Cancel", cancel)),
    );
  }

  /** Somebody is there, or no more. */
  visited(visit: Visit): void {
    this.#last = visit;
    this.#news.textContent = VISITS[visit];
  }

  /** The code can be used again, after somebody was shut out or gave up. */
  ready(): void {
    this.#news.textContent = this.#last === "silent" ? "Somebody sat in the room without showing the code and was shut out. The code is still good: waiting for the other side…" : NOBODY;
  }
}

/** What the other side types. */
function command(intent: Intent, link: string): string {
  if (intent === "chat") return `peer-cli chat '${link}'`;
  if (intent === "bench") return `peer-cli bench '${link}'`;
  if (intent === "call") return `peer-cli call '${link}'`;
  return intent === "send-files" ? `peer-cli receive-file '${link}'` : `peer-cli send-file PATH --to '${link}'`;
}

function copying(kind: "primary" | "plain", label: string, text: string): HTMLButtonElement {
  const element = button(kind, label, () => {
    copy(text).then(
      () => done("Copied"),
      () => done("Select and copy it by hand"),
    );
  });
  const done = (message: string): void => {
    element.textContent = message;
    announce(message);
    setTimeout(() => (element.textContent = label), 2_000);
  };
  return element;
}

/** Insecure contexts have no clipboard object; the old command works there. */
async function copy(text: string): Promise<void> {
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard !== undefined) return clipboard.writeText(text);
  const field = h("textarea", { class: "offscreen", "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (!copied) throw new Error("the browser refused");
}

const MOST_SHOWN = 50;

function chosenFiles(entries: readonly SourceEntry[]): HTMLElement {
  const chosen = entries.flatMap((entry) => (entry.kind === "file" ? [entry] : []));
  const total = chosen.reduce((sum, { file }) => sum + file.size, 0);
  const more = chosen.length - MOST_SHOWN;
  return h(
    "details",
    { class: "files" },
    h("summary", {}, `${files(chosen.length)}, ${bytes(total)}`),
    h(
      "ul",
      {},
      ...chosen.slice(0, MOST_SHOWN).map(({ path, file }) => h("li", {}, foreign(path), h("span", { class: "size" }, bytes(file.size)))),
      more > 0 ? h("li", {}, `and ${files(more)} more`) : undefined,
    ),
  );
}
