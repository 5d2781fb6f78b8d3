/** Choosing what to send: two buttons, and a place to drop files and folders. */
import { type PeerlineError, type SourceEntry, sourceOfDrop, sourceOfFiles } from "peerline";
import { button, h } from "./dom.js";
import { carriesFiles } from "./stray.js";

/** What happens with a choice. */
export interface ChooserOptions {
  readonly chosen: (entries: SourceEntry[]) => void;
  readonly failed: (error: PeerlineError) => void;
  /** Whether folders can be sent, too; they can unless it says otherwise. */
  readonly folders?: boolean;
}

/** The drop zone. Dropping anywhere on the window works too, as long as the zone is shown. */
export function chooser({ chosen, failed, folders = true }: ChooserOptions): HTMLElement {
  const take = (entries: () => SourceEntry[] | Promise<SourceEntry[]>): void => {
    void Promise.resolve()
      .then(entries)
      .then((found) => found.length > 0 && chosen(found), failed);
  };
  const files = picker("Choose files", take, {});
  const folder = folders ? picker("Choose a folder", take, { webkitdirectory: true }) : [];
  const zone = h(
    "div",
    { class: "drop", role: "group", "aria-label": "Files to send" },
    h("p", { class: "drop-hint" }, folders ? "Drop files or folders here" : "Drop files here"),
    h("div", { class: "actions" }, ...files, ...folder),
  );
  onWindowDrop(zone, (data) => {
    // The browser forgets what was dropped when the event is over: this must start reading now.
    const entries = sourceOfDrop(data);
    take(() => entries);
  });
  return zone;
}

function picker(label: string, take: (entries: () => SourceEntry[]) => void, attributes: Readonly<Record<string, true>>): [HTMLElement, HTMLElement] {
  const input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": label, ...attributes });
  input.addEventListener("change", () => {
    const files = Array.from(input.files ?? []);
    // Choosing the same files again must be an event again.
    input.value = "";
    take(() => sourceOfFiles(files));
  });
  return [button(attributes["webkitdirectory"] ? "plain" : "primary", label, () => input.click()), input];
}

function onWindowDrop(zone: HTMLElement, dropped: (data: DataTransfer) => void): void {
  const controller = new AbortController();
  const listen = <Name extends "dragover" | "dragleave" | "drop">(name: Name, run: (event: WindowEventMap[Name]) => void): void => {
    window.addEventListener(
      name,
      (event) => {
        // The zone was taken away, and its listeners go with it.
        if (!zone.isConnected) return controller.abort();
        run(event);
      },
      { signal: controller.signal },
    );
  };
  listen("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer !== null) event.dataTransfer.dropEffect = "copy";
    zone.classList.add("over");
  });
  listen("dragleave", (event) => {
    if (event.relatedTarget === null) zone.classList.remove("over");
  });
  listen("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer !== null) dropped(event.dataTransfer);
  });
}
