/** The token that this server may ask for. It stays in this tab, and goes to the server that the page is from. */
import { button, h, uniqueId } from "./dom.js";

const KEY = "peerline-token";

/** For the options of a line. */
export function credentials(): { readonly token?: string } {
  const token = kept();
  return token === null ? {} : { token };
}

/** Asks for a token after the server wanted one, or another one. */
export function tokenForm(why: string, hint: string, again: () => void, away: () => void): HTMLElement {
  const id = uniqueId();
  const input = h("input", { id, type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const form = h(
    "form",
    {},
    h("label", { for: id }, "Token"),
    h("div", { class: "row" }, input, h("button", { type: "submit", class: "primary" }, "Try again")),
    h("div", { class: "actions" }, button("plain", "Start again", away)),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(input.value.trim());
    again();
  });
  return h("section", { class: "card failure", role: "alert" }, h("h1", {}, "This server asks for a token"), h("p", {}, why), h("p", {}, hint), form);
}

/** Pages without storage (a sandboxed frame) ask each time. */
let unstored: string | null = null;

function kept(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return unstored;
  }
}

function keep(token: string): void {
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    unstored = token;
  }
}
