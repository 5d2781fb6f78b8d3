/** The view of a call: the other side large, this side small, and everything that can be turned on and off. */
import type { Call, Kind, Line } from "peerline";
import { announce } from "./announce.js";
import { button, focusOn, h, swap, uniqueId } from "./dom.js";
import { Devices, type Wanted, trouble } from "./devices.js";
import { canShareScreen, toggle } from "./toggle.js";

/** How often the figures under the picture change. */
const QUALITY_MS = 2_000;

/** The card of a call, from the connection to its end. */
export class CallView {
  readonly element: HTMLElement;
  readonly #remote = h("video", { autoplay: true, playsinline: true, "aria-label": "The other side" });
  readonly #preview = h("video", { class: "preview", autoplay: true, playsinline: true, "aria-label": "Your picture", hidden: true });
  readonly #empty = h("p", { class: "empty" }, "The other side sends no picture yet.");
  readonly #quality = h("p", { class: "quality" });
  readonly #trouble = h("p", { class: "trouble", role: "alert" });
  readonly #bar = h("div", { class: "actions call-bar" });
  readonly #title: HTMLElement;
  readonly #devices = new Devices((kind) => this.#use(kind));
  readonly #microphone = toggle("Microphone", (on) => this.#setMicrophone(on));
  readonly #camera = toggle("Camera", (on) => this.#turn("camera", on));
  readonly #screen = toggle("Share screen", (on) => this.#turn("screen", on));
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly line: Line,
    private readonly call: Call,
  ) {
    const id = uniqueId();
    this.#title = h("h2", { id, class: "offscreen" }, "Call");
    this.element = h(
      "section",
      { class: "card call", "aria-labelledby": id },
      this.#title,
      h("div", { class: "stage" }, this.#remote, this.#empty, this.#preview),
      this.#quality,
      this.#bar,
      this.#trouble,
    );
    // Without a touch of the person, browsers play nothing that sounds.
    this.#remote.muted = true;
    this.#preview.muted = true;
    this.#remote.srcObject = call.remote;
    call.on("remote", (kind) => this.#showRemote(kind));
    this.#invite();
    this.#showRemote("video");
    this.#timer = setInterval(() => void this.#measure(), QUALITY_MS);
    line.on("closed", () => this.#close());
  }

  /** Before the person has said what they want to be seen and heard with. */
  #invite(): void {
    const lead = h("p", { class: "lead" }, "The other side can be seen and heard as soon as it sends. How do you want to take part?");
    const join = (wanted: Wanted) => (): void => void this.#join(wanted);
    const choices = [
      button("primary", "With camera and microphone", join({ audio: true, video: true })),
      button("plain", "With microphone only", join({ audio: true })),
      button("plain", "Only watch and listen", join({})),
    ];
    this.#bar.replaceChildren(lead, ...choices);
  }

  async #join(wanted: Wanted): Promise<void> {
    this.#remote.muted = false;
    void this.#remote.play().catch(() => undefined);
    this.#trouble.textContent = "";
    if (wanted.audio === true || wanted.video === true) {
      try {
        const stream = await this.#devices.open(wanted);
        for (const track of stream.getTracks()) await this.#send(track);
      } catch (error) {
        this.#trouble.textContent = trouble(error, wanted);
      }
    }
    this.#microphone.show(this.#isHeard());
    this.#showLocal();
    const hangUp = button("plain", "Hang up", () => this.line.close());
    hangUp.classList.add("hang-up");
    const buttons = [this.#microphone.element, this.#camera.element];
    if (canShareScreen()) buttons.push(this.#screen.element);
    swap(this.#bar, this.#title, ...buttons, hangUp, this.#devices.element);
    announce("You are in the call.");
  }

  async #send(track: MediaStreamTrack): Promise<void> {
    const kind: Kind = track.kind === "audio" ? "audio" : "video";
    await this.call.send(kind, track);
    this.#showLocal();
    // Unplugged, or ended with the browser's own button.
    track.addEventListener("ended", () => {
      if (this.call.sending(kind) !== track) return;
      void this.call.send(kind, undefined).then(() => this.#showLocal());
    });
  }

  #isHeard(): boolean {
    return this.call.sending("audio")?.enabled === true;
  }

  /** Muted means silence, which needs nothing to be negotiated; the browser goes on to show that it listens. */
  async #setMicrophone(on: boolean): Promise<void> {
    const track = this.call.sending("audio");
    if (track !== undefined) track.enabled = on;
    else if (on) await this.#use("microphone");
    this.#microphone.show(this.#isHeard());
  }

  async #turn(source: "camera" | "screen", on: boolean): Promise<void> {
    const before = this.call.sending("video");
    if (on) await this.#use(source);
    else await this.call.send("video", undefined);
    if (this.call.sending("video") !== before) before?.stop();
    this.#showLocal();
  }

  /** Opens a device, the chosen one, and sends it in place of what was sent. */
  async #use(source: "camera" | "microphone" | "screen"): Promise<void> {
    this.#trouble.textContent = "";
    const wanted: Wanted = source === "microphone" ? { audio: true } : source === "camera" ? { video: true } : { screen: true };
    const kind: Kind = source === "microphone" ? "audio" : "video";
    const before = this.call.sending(kind);
    try {
      const stream = await this.#devices.open(wanted);
      const [track] = stream.getTracks();
      if (track === undefined) return;
      await this.#send(track);
      before?.stop();
    } catch (error) {
      this.#trouble.textContent = trouble(error, wanted);
    }
    this.#showLocal();
  }

  #showLocal(): void {
    const track = this.call.sending("video");
    const isScreen = track !== undefined && this.#devices.isScreen(track);
    this.#preview.hidden = track === undefined;
    this.#preview.classList.toggle("mirrored", !isScreen);
    const shown = this.#preview.srcObject instanceof MediaStream ? this.#preview.srcObject.getTracks()[0] : undefined;
    if (shown !== track) this.#preview.srcObject = track === undefined ? null : new MediaStream([track]);
    this.#camera.show(track !== undefined && !isScreen);
    this.#screen.show(isScreen);
    this.#microphone.show(this.#isHeard());
  }

  #showRemote(kind: Kind): void {
    const has = this.call.remote.getVideoTracks().length > 0;
    this.#empty.hidden = has;
    this.#remote.classList.toggle("blank", !has);
    if (!has) this.#quality.textContent = "";
    if (kind === "video") announce(has ? "The other side sends a picture." : "The other side sends no picture.");
    // An element that lost its picture and got another one may have stopped.
    if (has) void this.#remote.play().catch(() => undefined);
  }

  async #measure(): Promise<void> {
    const quality = await this.call.quality();
    if (quality === undefined || this.call.remote.getVideoTracks().length === 0) return;
    const lost = quality.lost >= 0.005 ? ` · ${Math.round(quality.lost * 100)} % lost` : "";
    this.#quality.textContent = `${quality.width} × ${quality.height} · ${Math.round(quality.rate)} pictures a second${lost}`;
  }

  #close(): void {
    clearInterval(this.#timer);
    for (const kind of ["audio", "video"] as const) this.call.sending(kind)?.stop();
    this.#devices.close();
    if (this.element.contains(document.activeElement)) focusOn(this.#title);
    this.element.remove();
  }
}
