/** The view of an open room: a tile for everybody, and everything of this side that can be turned on and off. */
import type { Kind, Person, Room } from "peerline";
import { announce } from "./announce.js";
import { Devices, type Wanted, trouble } from "./devices.js";
import { button, foreign, h, swap } from "./dom.js";
import { canShareScreen, toggle } from "./toggle.js";

/** From entering a room to leaving it. */
export class RoomView {
  readonly element = h("div", { class: "wide" });
  readonly #tiles = new Map<string, Tile>();
  readonly #grid = h("div", { class: "tiles" });
  readonly #preview = h("video", { class: "preview", autoplay: true, playsinline: true, "aria-label": "Your picture", hidden: true });
  readonly #state = h("p", { class: "quality", role: "status" });
  readonly #trouble = h("p", { class: "trouble", role: "alert" });
  readonly #bar = h("div", { class: "actions call-bar" });
  readonly #title: HTMLElement;
  readonly #devices = new Devices((kind) => this.#use(kind));
  readonly #microphone = toggle("Microphone", (on) => this.#setMicrophone(on));
  readonly #camera = toggle("Camera", (on) => this.#turn("camera", on));
  readonly #screen = toggle("Share screen", (on) => this.#turn("screen", on));
  #joined = false;

  constructor(private readonly room: Room) {
    this.#title = h("h1", {}, "Room ", foreign(room.name));
    this.#preview.muted = true;
    this.element.append(h("section", { class: "card call room" }, this.#title, this.#grid, this.#state, this.#preview, this.#bar, this.#trouble));
    room.on("people", () => this.#show());
    room.on("forwarded", () => this.#show());
    room.on("speaker", (id) => this.#tiles.forEach((tile, whose) => tile.speaks(whose === id)));
    room.on("closed", () => this.#close());
    this.#invite();
    this.#show();
  }

  /** Before the person has said what they want to be seen and heard with. */
  #invite(): void {
    const lead = h("p", { class: "lead" }, "Everybody with this address is in the room, and the server is trusted to say who that is. How do you want to take part?");
    const join = (wanted: Wanted) => (): void => void this.#join(wanted);
    const choices = [
      button("primary", "With camera and microphone", join({ audio: true, video: true })),
      button("plain", "With microphone only", join({ audio: true })),
      button("plain", "Only watch and listen", join({})),
    ];
    this.#bar.replaceChildren(lead, ...choices);
  }

  async #join(wanted: Wanted): Promise<void> {
    this.#joined = true;
    this.#tiles.forEach((tile) => tile.sound());
    this.#trouble.textContent = "";
    if (wanted.audio === true || wanted.video === true) {
      try {
        const stream = await this.#devices.open(wanted);
        for (const track of stream.getTracks()) await this.#send(track);
      } catch (error) {
        this.#trouble.textContent = trouble(error, wanted);
      }
    }
    const leave = button("plain", "Leave", () => this.room.close());
    leave.classList.add("hang-up");
    const buttons = [this.#microphone.element, this.#camera.element];
    if (canShareScreen()) buttons.push(this.#screen.element);
    swap(this.#bar, this.#title, ...buttons, leave, this.#devices.element);
    this.#showLocal();
    announce("You are in the room.");
  }

  async #send(track: MediaStreamTrack): Promise<void> {
    const kind: Kind = track.kind === "audio" ? "audio" : "video";
    await this.room.send(kind, track);
    // Unplugged, or ended with the browser's own button.
    track.addEventListener("ended", () => {
      if (this.room.sending(kind) !== track) return;
      void this.room.send(kind, undefined).then(() => this.#showLocal());
    });
  }

  /** Muted means silence, which needs nothing to be negotiated. */
  async #setMicrophone(on: boolean): Promise<void> {
    const track = this.room.sending("audio");
    if (track !== undefined) track.enabled = on;
    else if (on) await this.#use("microphone");
    this.#showLocal();
  }

  async #turn(source: "camera" | "screen", on: boolean): Promise<void> {
    const before = this.room.sending("video");
    if (on) await this.#use(source);
    else await this.room.send("video", undefined);
    if (this.room.sending("video") !== before) before?.stop();
    this.#showLocal();
  }

  /** Opens a device, the chosen one, and sends it in place of what was sent. */
  async #use(source: "camera" | "microphone" | "screen"): Promise<void> {
    this.#trouble.textContent = "";
    const wanted: Wanted = source === "microphone" ? { audio: true } : source === "camera" ? { video: true } : { screen: true };
    const before = this.room.sending(source === "microphone" ? "audio" : "video");
    try {
      const [track] = (await this.#devices.open(wanted)).getTracks();
      if (track === undefined) return;
      await this.#send(track);
      before?.stop();
    } catch (error) {
      this.#trouble.textContent = trouble(error, wanted);
    }
    this.#showLocal();
  }

  #showLocal(): void {
    const track = this.room.sending("video");
    const isScreen = track !== undefined && this.#devices.isScreen(track);
    this.#preview.hidden = track === undefined;
    this.#preview.classList.toggle("mirrored", !isScreen);
    const shown = this.#preview.srcObject instanceof MediaStream ? this.#preview.srcObject.getTracks()[0] : undefined;
    if (shown !== track) this.#preview.srcObject = track === undefined ? null : new MediaStream([track]);
    this.#camera.show(track !== undefined && !isScreen);
    this.#screen.show(isScreen);
    this.#microphone.show(this.room.sending("audio")?.enabled === true);
  }

  #show(): void {
    const { people, forwarded } = this.room;
    for (const [id, tile] of this.#tiles) {
      if (people.some((person) => person.id === id)) continue;
      tile.element.remove();
      this.#tiles.delete(id);
    }
    for (const person of people) {
      let tile = this.#tiles.get(person.id);
      if (tile === undefined) {
        tile = new Tile(person);
        this.#tiles.set(person.id, tile);
        this.#grid.append(tile.element);
      }
      tile.show();
      if (this.#joined) tile.sound();
    }
    const count = people.length === 0 ? "Nobody else is here yet. Others need the address of this page." : people.length === 1 ? "One other person is here." : `${people.length} others are here.`;
    this.#state.textContent = people.length > 0 ? `${count} ${forwarded ? "Connected through a forwarder." : "Connected directly."}` : count;
  }

  #close(): void {
    for (const kind of ["audio", "video"] as const) this.room.sending(kind)?.stop();
    this.#devices.close();
    this.element.remove();
  }
}

/** One person. */
class Tile {
  readonly element: HTMLElement;
  readonly #video = h("video", { autoplay: true, playsinline: true });

  constructor(private readonly person: Person) {
    const name = person.name ?? person.id;
    this.#video.setAttribute("aria-label", name);
    // Without a touch of the person, browsers play nothing that sounds.
    this.#video.muted = true;
    this.#video.srcObject = person.stream;
    this.element = h("figure", { class: "tile" }, this.#video, h("figcaption", {}, foreign(name)));
  }

  show(): void {
    const has = this.person.stream.getVideoTracks().length > 0;
    this.#video.classList.toggle("blank", !has);
    // An element that lost its picture and got another one may have stopped.
    if (has) void this.#video.play().catch(() => undefined);
  }

  sound(): void {
    this.#video.muted = false;
    void this.#video.play().catch(() => undefined);
  }

  speaks(does: boolean): void {
    this.element.classList.toggle("speaks", does);
  }
}
