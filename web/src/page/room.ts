/** The view of an open room: a tile for everybody, and everything of this side that can be turned on and off. */
import type { Person, Room } from "peerline";
import { foreign, h } from "./dom.js";
import { OwnSide } from "./own-side.js";

/** From entering a room to leaving it. */
export class RoomView {
  readonly element = h("div", { class: "wide" });
  readonly #tiles = new Map<string, Tile>();
  readonly #grid = h("div", { class: "tiles" });
  readonly #state = h("p", { class: "quality", role: "status" });
  readonly #own: OwnSide;
  #joined = false;

  constructor(private readonly room: Room) {
    const title = h("h1", {}, "Room ", foreign(room.name));
    const words = {
      lead: "Everybody with this address is in the room, and the server is trusted to say who that is. How do you want to take part?",
      leave: "Leave",
      joined: "You are in the room.",
    };
    const own = new OwnSide(room, title, words, () => this.#unmute(), () => room.close());
    this.#own = own;
    this.element.append(h("section", { class: "card call room" }, title, this.#grid, this.#state, own.preview, own.bar, own.trouble));
    room.on("people", () => this.#show());
    room.on("forwarded", () => this.#show());
    room.on("speaker", (id) => this.#tiles.forEach((tile, whose) => tile.speaks(whose === id)));
    room.on("closed", () => this.#close());
    this.#show();
  }

  /** Something may sound from now on. */
  #unmute(): void {
    this.#joined = true;
    this.#tiles.forEach((tile) => tile.sound());
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
    this.#own.close();
    this.element.remove();
  }
}

/** One person. */
class Tile {
  readonly element: HTMLElement;
  readonly #video = h("video", { autoplay: true, playsinline: true });

  constructor(private readonly person: Person) {
    const name = person.name ?? "Guest";
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
