/** Cameras, microphones and screens of this device: which there are, which was chosen, and why one cannot be had. */
import { h, uniqueId } from "./dom.js";

/** What is to be opened. */
export interface Wanted {
  readonly audio?: true;
  readonly video?: true;
  readonly screen?: true;
}

type Choosable = "camera" | "microphone";

const KINDS: Readonly<Record<Choosable, MediaDeviceKind>> = { camera: "videoinput", microphone: "audioinput" };
const LABELS: Readonly<Record<Choosable, string>> = { camera: "Camera", microphone: "Microphone" };

/** Larger pictures cost both sides more than they show in a page. */
const PICTURE: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };

/** Opens devices, and lets a person choose among them. */
export class Devices {
  readonly element: HTMLElement;
  readonly #lists: Readonly<Record<Choosable, HTMLSelectElement>>;
  readonly #screens = new WeakSet<MediaStreamTrack>();
  readonly #listening = new AbortController();

  /** `chosen` is called when another one was chosen. */
  constructor(chosen: (device: Choosable) => Promise<void>) {
    const list = (device: Choosable): HTMLSelectElement => {
      const select = h("select", { id: uniqueId() });
      select.addEventListener("change", () => void chosen(device));
      return select;
    };
    this.#lists = { camera: list("camera"), microphone: list("microphone") };
    const rows = (["camera", "microphone"] as const).map((device) => h("div", {}, h("label", { for: this.#lists[device].id }, LABELS[device]), this.#lists[device]));
    this.element = h("details", { class: "devices" }, h("summary", {}, "Devices"), ...rows);
    media()?.addEventListener("devicechange", () => void this.#list(), { signal: this.#listening.signal });
  }

  /** @throws what the browser throws, for {@link trouble} */
  async open({ audio, video, screen }: Wanted): Promise<MediaStream> {
    const devices = media();
    if (devices === undefined) throw new DOMException("insecure", "SecurityError");
    if (screen === true) {
      const stream = await devices.getDisplayMedia({ video: true });
      for (const track of stream.getTracks()) this.#screens.add(track);
      return stream;
    }
    const stream = await devices.getUserMedia({
      ...(audio === true ? { audio: this.#constraint("microphone") } : {}),
      ...(video === true ? { video: { ...PICTURE, ...this.#constraint("camera") } } : {}),
    });
    // Before the person has allowed it, devices have no names. Firefox tells them only once its window has the focus: a
    // call does not wait for that.
    void this.#list();
    return stream;
  }

  /** Whether a track shows the screen. */
  isScreen(track: MediaStreamTrack): boolean {
    return this.#screens.has(track);
  }

  /** Listens no more. */
  close(): void {
    this.#listening.abort();
  }

  #constraint(device: Choosable): MediaTrackConstraints {
    const id = this.#lists[device].value;
    return id === "" ? {} : { deviceId: { exact: id } };
  }

  async #list(): Promise<void> {
    const found = (await media()?.enumerateDevices()) ?? [];
    for (const device of ["camera", "microphone"] as const) {
      const select = this.#lists[device];
      const before = select.value;
      const options = found.filter(({ kind }) => kind === KINDS[device]);
      select.replaceChildren(...options.map(({ deviceId, label }, index) => h("option", { value: deviceId }, label === "" ? `${LABELS[device]} ${index + 1}` : label)));
      if (options.some(({ deviceId }) => deviceId === before)) select.value = before;
    }
  }
}

/** Missing on pages over plain http, but for those of this device. */
function media(): MediaDevices | undefined {
  return navigator.mediaDevices as MediaDevices | undefined;
}

/** Why a device cannot be had, and what to do about it. */
export function trouble(error: unknown, { audio, video, screen }: Wanted): string {
  const what = screen === true ? "screen" : audio === true && video === true ? "camera and microphone" : video === true ? "camera" : "microphone";
  const name = error instanceof DOMException ? error.name : "";
  switch (name) {
    case "SecurityError":
      return `Browsers give pages a ${what} only over https. Ask whoever runs this server to turn it on; you can watch and listen without.`;
    case "NotAllowedError":
      return `The ${what} was not allowed. Allow it in the address bar, and try again.`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No ${what} was found. Plug one in, or choose another one under Devices.`;
    case "NotReadableError":
      return `The ${what} is used by another program. Close that, and try again.`;
    default:
      return `The ${what} could not be opened. ${error instanceof Error ? error.message : String(error)}`;
  }
}
