/** This side of a call or a room: its devices, its picture, and everything of it that can be turned on and off. */
import type { Kind } from "peerline";
import { announce } from "./announce.js";
import { Devices, type Wanted, trouble } from "./devices.js";
import { button, h, swap } from "./dom.js";
import { canShareScreen, toggle } from "./toggle.js";

/** Where this side's tracks go. */
interface Outlet {
  sending(kind: Kind): MediaStreamTrack | undefined;
  send(kind: Kind, track: MediaStreamTrack | undefined): Promise<void>;
}

/** How somebody takes part and stops to. */
interface Words {
  /** Before the person has said what they want to be seen and heard with. */
  readonly lead: string;
  /** On the button that ends it. */
  readonly leave: string;
  /** Said once the person takes part. */
  readonly joined: string;
}

/** From the question how to take part to the end. */
export class OwnSide {
  readonly preview = h("video", { class: "preview", autoplay: true, playsinline: true, "aria-label": "Your picture", hidden: true });
  readonly trouble = h("p", { class: "trouble", role: "alert" });
  readonly bar = h("div", { class: "actions call-bar" });
  readonly #devices = new Devices((kind) => this.#use(kind));
  readonly #microphone = toggle("Microphone", (on) => this.#setMicrophone(on));
  readonly #camera = toggle("Camera", (on) => this.#turn("camera", on));
  readonly #screen = toggle("Share screen", (on) => this.#turn("screen", on));

  /** `title` has the focus while the buttons change; `joins` is called when the person takes part, `leaves` when they want to stop. */
  constructor(
    private readonly outlet: Outlet,
    private readonly title: HTMLElement,
    private readonly words: Words,
    private readonly joins: () => void,
    private readonly leaves: () => void,
  ) {
    this.preview.muted = true;
    const join = (wanted: Wanted) => (): void => void this.#join(wanted);
    this.bar.replaceChildren(
      h("p", { class: "lead" }, words.lead),
      button("primary", "With camera and microphone", join({ audio: true, video: true })),
      button("plain", "With microphone only", join({ audio: true })),
      button("plain", "Only watch and listen", join({})),
    );
  }

  /** Everything that was opened is closed. */
  close(): void {
    for (const kind of ["audio", "video"] as const) this.outlet.sending(kind)?.stop();
    this.#devices.close();
  }

  async #join(wanted: Wanted): Promise<void> {
    this.joins();
    this.trouble.textContent = "";
    if (wanted.audio === true || wanted.video === true) {
      try {
        const stream = await this.#devices.open(wanted);
        for (const track of stream.getTracks()) await this.#send(track);
      } catch (error) {
        this.trouble.textContent = trouble(error, wanted);
      }
    }
    this.#show();
    const leave = button("plain", this.words.leave, this.leaves);
    leave.classList.add("hang-up");
    const buttons = [this.#microphone.element, this.#camera.element];
    if (canShareScreen()) buttons.push(this.#screen.element);
    swap(this.bar, this.title, ...buttons, leave, this.#devices.element);
    announce(this.words.joined);
  }

  async #send(track: MediaStreamTrack): Promise<void> {
    const kind: Kind = track.kind === "audio" ? "audio" : "video";
    await this.outlet.send(kind, track);
    this.#show();
    // Unplugged, or ended with the browser's own button.
    track.addEventListener("ended", () => {
      if (this.outlet.sending(kind) !== track) return;
      void this.outlet.send(kind, undefined).then(() => this.#show());
    });
  }

  /** Muted means silence, which needs nothing to be negotiated; the browser goes on to show that it listens. */
  async #setMicrophone(on: boolean): Promise<void> {
    const track = this.outlet.sending("audio");
    if (track !== undefined) track.enabled = on;
    else if (on) await this.#use("microphone");
    this.#show();
  }

  async #turn(source: "camera" | "screen", on: boolean): Promise<void> {
    const before = this.outlet.sending("video");
    if (on) await this.#use(source);
    else await this.outlet.send("video", undefined);
    if (this.outlet.sending("video") !== before) before?.stop();
    this.#show();
  }

  /** Opens a device, the chosen one, and sends it in place of what was sent. */
  async #use(source: "camera" | "microphone" | "screen"): Promise<void> {
    this.trouble.textContent = "";
    const wanted: Wanted = source === "microphone" ? { audio: true } : source === "camera" ? { video: true } : { screen: true };
    const before = this.outlet.sending(source === "microphone" ? "audio" : "video");
    try {
      const [track] = (await this.#devices.open(wanted)).getTracks();
      if (track === undefined) return;
      await this.#send(track);
      before?.stop();
    } catch (error) {
      this.trouble.textContent = trouble(error, wanted);
    }
    this.#show();
  }

  #show(): void {
    const track = this.outlet.sending("video");
    const isScreen = track !== undefined && this.#devices.isScreen(track);
    this.preview.hidden = track === undefined;
    this.preview.classList.toggle("mirrored", !isScreen);
    const shown = this.preview.srcObject instanceof MediaStream ? this.preview.srcObject.getTracks()[0] : undefined;
    if (shown !== track) this.preview.srcObject = track === undefined ? null : new MediaStream([track]);
    this.#camera.show(track !== undefined && !isScreen);
    this.#screen.show(isScreen);
    this.#microphone.show(this.outlet.sending("audio")?.enabled === true);
  }
}
