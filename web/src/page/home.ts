/** The start: send, or receive with a code. */
import { PeerlineError, type SourceEntry, completeCode, findWord, parseCode } from "peerline";
import { chooser } from "./chooser.js";
import { button, h, uniqueId } from "./dom.js";

/** What a person can start here. */
export interface HomeOptions {
  readonly send: (entries: SourceEntry[]) => void;
  readonly join: (code: string) => void;
  /** Show a code without files: the other side sends. */
  readonly invite: () => void;
  /** Show a code for a call. */
  readonly call: () => void;
  /** Show a code for a chat. */
  readonly chat: () => void;
  /** Show a code for measuring how good the line is. */
  readonly measure: () => void;
}

const MOST_COMPLETIONS = 8;

/** The start view. */
export function home({ send, join, invite, call, chat, measure }: HomeOptions): HTMLElement {
  const trouble = h("p", { class: "trouble", role: "alert" });
  return h(
    "div",
    {},
    h("h1", {}, "Straight to the other device"),
    h("p", { class: "lead" }, "Files go directly from you to them, encrypted end to end. No account, no upload."),
    h(
      "div",
      { class: "pair" },
      h(
        "section",
        { class: "card", "aria-labelledby": "send-title" },
        h("h2", { id: "send-title" }, "Send files"),
        chooser({
          chosen: send,
          failed: (error) => (trouble.textContent = `${error.message} ${error.hint ?? ""}`),
        }),
        trouble,
      ),
      h(
        "section",
        { class: "card", "aria-labelledby": "receive-title" },
        h("h2", { id: "receive-title" }, "Receive"),
        codeForm(join),
        h("p", { class: "aside" }, "No code yet? ", button("quiet", "Show one to the sender", invite)),
        h("p", { class: "aside" }, "To see and hear each other: ", button("quiet", "Start a call", call)),
        h("p", { class: "aside" }, "To write to each other: ", button("quiet", "Start a chat", chat)),
        h("p", { class: "aside" }, "To see how fast your line is: ", button("quiet", "Measure it", measure)),
      ),
    ),
  );
}

function codeForm(join: (code: string) => void): HTMLFormElement {
  const [field, options, hint] = [uniqueId(), uniqueId(), uniqueId()];
  const list = h("datalist", { id: options });
  const input = h("input", {
    id: field,
    type: "text",
    list: options,
    placeholder: "7-crane-velvet-orbit",
    autocomplete: "off",
    autocapitalize: "none",
    autocorrect: "off",
    spellcheck: "false",
    enterkeyhint: "go",
    "aria-describedby": hint,
    required: true,
  });
  const note = h("p", { id: hint, class: "hint", "aria-live": "polite" }, "Three words after a number. Four letters of each are enough.");
  input.addEventListener("input", () => {
    input.setCustomValidity("");
    list.replaceChildren(...completeCode(input.value, MOST_COMPLETIONS).map((value) => h("option", { value })));
    note.textContent = understood(input.value);
    note.classList.remove("bad");
  });
  const form = h(
    "form",
    { novalidate: true },
    h("label", { for: field }, "Code or link from the other side"),
    h("div", { class: "row" }, input, h("button", { type: "submit", class: "primary" }, "Connect")),
    list,
    note,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      parseCode(input.value);
    } catch (error) {
      if (!(error instanceof PeerlineError)) throw error;
      note.textContent = error.message;
      note.classList.add("bad");
      input.focus();
      return;
    }
    join(input.value);
  });
  return form;
}

/** Says back which words were recognised, so that a typing error shows before it burns the code. */
function understood(typed: string): string {
  if (/^https?:/i.test(typed.trim())) return "A link: it carries the whole code.";
  const [, ...words] = typed.trim().toLowerCase().split(/[\s_.-]+/);
  if (words.length === 0) return "Three words after a number. Four letters of each are enough.";
  return words.map((word) => findWord(word) ?? (completeCode(`0-${word}`, 1).length > 0 ? `${word}…` : `${word} ?`)).join(" · ");
}
