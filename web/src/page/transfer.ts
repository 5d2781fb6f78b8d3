/** One transfer on the page: what it is, how far it is, and how it ended. */
import { type IncomingTransfer, type Manifest, type OutgoingTransfer, type PeerlineError, type Progress, type Receipt, canPick, cleaned, downloadSink, pickSink } from "peerline";
import { announce } from "./announce.js";
import { button, focusOn, foreign, h, swap, uniqueId } from "./dom.js";
import { bytes, duration, files, remaining } from "./format.js";

/** Called when a transfer begins to move data and when it stops. */
export interface TransferWatcher {
  readonly started: () => void;
  readonly stopped: () => void;
  /** 0 to 1. */
  readonly moved: (part: number) => void;
  /** `direct` or `relayed`, if known. */
  readonly path: () => string | undefined;
  /** It is over; with the failure if it did not work. */
  readonly over: (error?: PeerlineError) => void;
}

const MOST_SHOWN = 200;

/** Protocol 5.4. Somebody will compare it with `sha256sum`. */
const WHAT_DIGEST =
  "One SHA-256 over the names, sizes and block digests of everything in this transfer. Both sides show the same one (peer-cli as digest when it is done). It is not the checksum of a single file.";

/** The parts that both directions share. */
class TransferCard {
  readonly element: HTMLElement;
  readonly title: HTMLElement;
  /** Not a live region: one that changes ten times a second would never stop talking. */
  readonly status = h("p", { class: "status" });
  readonly bar: HTMLProgressElement;
  readonly actions = h("div", { class: "actions" });
  readonly proof = h("details", { class: "proof", hidden: true });
  #startedAt = 0;
  #running = false;

  constructor(
    private readonly direction: "Sending" | "Receiving",
    private readonly manifest: Manifest,
    private readonly watcher: TransferWatcher,
  ) {
    const id = uniqueId();
    this.title = h("h2", { id }, foreign(cleaned(manifest.title, 120)));
    this.bar = h("progress", { max: "1", value: "0", "aria-labelledby": id, hidden: true });
    this.element = h("article", { class: "card transfer", "aria-labelledby": id }, this.title, this.status, this.bar, fileList(manifest), this.proof, this.actions);
  }

  say(text: string): void {
    this.status.textContent = text;
  }

  start(cancel: () => void): void {
    this.#startedAt = performance.now();
    this.#running = true;
    this.bar.hidden = false;
    this.say(`${this.direction}…`);
    swap(this.actions, this.title, button("plain", "Cancel", cancel));
    this.watcher.started();
  }

  progress({ bytes: done, totalBytes, rate, secondsLeft }: Progress): void {
    const speed = rate > 0 ? ` · ${bytes(rate)}/s` : "";
    if (totalBytes === 0 && done > 0) {
      this.bar.removeAttribute("value");
      return this.say(`${bytes(done)}${speed}`);
    }
    const part = totalBytes === 0 ? 1 : done / totalBytes;
    this.bar.value = part;
    this.watcher.moved(part);
    const left = secondsLeft === undefined || done === totalBytes ? "" : ` · ${remaining(secondsLeft)}`;
    this.say(done === totalBytes ? `${this.direction}: finishing…` : `${bytes(done)} of ${bytes(totalBytes)}${speed}${left}`);
  }

  done({ digest, bytes: size, files: count }: Receipt): void {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const path = this.watcher.path();
    const rate = size > 0 && seconds > 0 ? ` · ${bytes(size / seconds)}/s` : "";
    this.bar.value = 1;
    this.#stop("good");
    const summary = `Complete and verified: ${files(count)}, ${bytes(size)} in ${duration(seconds)}${rate}${path === undefined ? "" : ` · ${path}`}`;
    this.say(summary);
    this.proof.replaceChildren(h("summary", { title: WHAT_DIGEST }, "Verified digest"), h("p", {}, WHAT_DIGEST), h("code", { class: "digest" }, digest));
    this.proof.hidden = false;
    announce(`${this.manifest.title.slice(0, 80)}: ${summary}`);
    this.watcher.over();
  }

  failed(error: PeerlineError): void {
    this.#stop("bad");
    this.say(`${error.message} ${error.hint}`);
    announce(error.message);
    this.watcher.over(error);
  }

  #stop(kind: "good" | "bad"): void {
    this.element.classList.add(kind);
    this.bar.hidden = kind === "bad";
    swap(this.actions, this.title);
    if (this.#running) this.watcher.stopped();
    this.#running = false;
  }
}

/** Card of files we send. */
export function outgoingCard(transfer: OutgoingTransfer, watcher: TransferWatcher): HTMLElement {
  const { manifest } = transfer;
  const card = new TransferCard("Sending", manifest, watcher);
  card.say(`${files(manifest.files)}, ${bytes(manifest.bytes)}: waiting for the other side to accept…`);
  card.actions.append(button("plain", "Cancel", () => transfer.cancel()));
  transfer.on("accepted", () => card.start(() => transfer.cancel()));
  transfer.on("progress", (progress) => card.progress(progress));
  transfer.on("done", (receipt) => card.done(receipt));
  transfer.on("failed", (error) => card.failed(error));
  return card.element;
}

/** Card of files the other side offers: nothing is written before the person says yes. */
export function incomingCard(transfer: IncomingTransfer, watcher: TransferWatcher): HTMLElement {
  const { manifest } = transfer;
  const card = new TransferCard("Receiving", manifest, watcher);
  const accept = async (): Promise<void> => {
    const sink = await downloadSink();
    card.start(() => transfer.cancel());
    await transfer.accept(sink);
  };
  const choose = async (): Promise<void> => {
    const sink = await pickSink(manifest);
    if (sink === undefined) return;
    card.start(() => transfer.cancel());
    await transfer.accept(sink);
  };
  // A failure reaches the card as the transfer's own event.
  const quietly = (work: () => Promise<void>) => (): void => void work().catch((error: Error) => card.say(error.message));
  const size = manifest.stream ? "whose size is known at its end only" : bytes(manifest.bytes);
  const offer = `The other side wants to send you ${files(manifest.files)}, ${size}.`;
  card.say(offer);
  announce(offer);
  card.element.classList.add("offer");
  card.actions.append(
    button("primary", "Accept", quietly(accept)),
    ...(canPick() ? [button("plain", manifest.entries.length === 1 ? "Save as…" : "Save to a folder…", quietly(choose))] : []),
    button("plain", "Decline", () => transfer.decline()),
  );
  transfer.on("progress", (progress) => card.progress(progress));
  transfer.on("failed", (error) => card.failed(error));
  transfer.on("done", (done) => {
    card.done(done);
    if (done.delivery.kind === "download") card.actions.append(download(done.delivery.blob, done.delivery.name));
  });
  queueMicrotask(() => focusOn(card.title));
  return card.element;
}

/** Starts the download and leaves a link to start it again. */
function download(blob: Blob, name: string): HTMLElement {
  const link = h("a", { class: "button", href: URL.createObjectURL(blob), download: name }, "Save again");
  queueMicrotask(() => link.click());
  return link;
}

function fileList({ entries, stream }: Manifest): HTMLElement {
  const all = entries.flatMap((entry) => (entry.kind === "file" ? [entry] : []));
  const more = all.length - MOST_SHOWN;
  return h(
    "details",
    { class: "files", ...(all.length <= 5 ? { open: true as const } : {}) },
    h("summary", {}, files(all.length)),
    h(
      "ul",
      {},
      ...all.slice(0, MOST_SHOWN).map(({ path, size }) => h("li", {}, foreign(cleaned(path, 300)), h("span", { class: "size" }, stream ? "" : bytes(size)))),
      more > 0 ? h("li", {}, `and ${files(more)} more`) : undefined,
    ),
  );
}
