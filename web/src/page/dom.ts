/** Building elements. Text is only ever text: nothing here or anywhere else in the page parses markup. */

type Child = Node | string | undefined;

/** Attributes by name; `class`, `for` and `aria-…` as in HTML. `true` is an attribute without a value. */
type Attributes = Readonly<Record<string, string | true>>;

/** An element with attributes and children. */
export function h<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, attributes: Attributes = {}, ...children: readonly Child[]): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value === true ? "" : value);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** A button that does `run`. */
export function button(kind: "primary" | "plain" | "quiet", label: string, run: () => void): HTMLButtonElement {
  const element = h("button", { type: "button", class: kind }, label);
  element.addEventListener("click", run);
  return element;
}

/** Text of the other side: isolated, so that its direction cannot rearrange ours. */
export function foreign(text: string): HTMLElement {
  return h("bdi", {}, text);
}

let ids = 0;

/** An id for labels that point at elements. */
export function uniqueId(): string {
  return `id-${++ids}`;
}

/** What Safari says of the key that ended the composition of a character, which is over by then. */
const OF_COMPOSITION = 229;

/** Whether a person has finished a line, and not only the composition of a character. */
export function isEnter(event: KeyboardEvent): boolean {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== OF_COMPOSITION;
}

/** Moves the keyboard and the screen reader to `element`. */
export function focusOn(element: HTMLElement): void {
  element.tabIndex = -1;
  element.focus({ preventScroll: false });
}

/** Replaces what is in `container`; if the keyboard was in there, it goes to `next` and not back to the start of the page. */
export function swap(container: HTMLElement, next: HTMLElement, ...content: readonly HTMLElement[]): void {
  const held = container.contains(document.activeElement);
  container.replaceChildren(...content);
  if (held) focusOn(next);
}
