/** Pairs the two channels of each incoming transfer, which may come in either order, and gives it its extra lanes. */
import type { Channel } from "../channel.js";
import { IncomingTransfer } from "./incoming.js";

export type { IncomingTransfer };

/** Takes the channels that belong to file transfers. */
export class Inbox {
  readonly #transfers = new Map<string, IncomingTransfer>();
  readonly #halves = new Map<string, Partial<Record<"control" | "lane", Channel>>>();

  constructor(private readonly offered: (transfer: IncomingTransfer) => void) {}

  /** Takes `channel` if it belongs to a transfer. What waits here is bounded by the channels of a session. */
  take(channel: Channel): boolean {
    const found = halfOf(channel);
    if (found === undefined) return this.#extra(channel);
    const halves = this.#halves.get(found.id) ?? {};
    if (halves[found.half] !== undefined) {
      channel.close();
      return true;
    }
    halves[found.half] = channel;
    this.#halves.set(found.id, halves);
    const { control, lane } = halves;
    if (control !== undefined && lane !== undefined) {
      const transfer = new IncomingTransfer(control, lane, this.offered);
      this.#halves.delete(found.id);
      this.#transfers.set(found.id, transfer);
      for (const end of ["done", "failed"] as const) transfer.on(end, () => this.#transfers.delete(found.id));
    } else {
      channel.on("closed", () => {
        if (this.#halves.get(found.id) === halves) this.#halves.delete(found.id);
      });
    }
    return true;
  }

  /** Another lane of a transfer that goes on. */
  #extra(channel: Channel): boolean {
    const [, id = "", number = ""] = channel.protocol === LANE_PROTOCOL ? (EXTRA.exec(channel.label) ?? []) : [];
    if (number === "") return false;
    const transfer = this.#transfers.get(id);
    if (transfer === undefined || Number(number) > LAST_LANE) channel.close();
    else transfer.add(Number(number), channel);
    return true;
  }
}

const LANE_PROTOCOL = "peerline-lane/1";
const EXTRA = /^lane\/([a-z0-9]{8,32})\/([1-9][0-9]{0,4})$/;
const LAST_LANE = 65_535;

const FORMS = [
  { half: "control", label: /^files\/([a-z0-9]{8,32})$/, protocol: "peerline-files/1" },
  { half: "lane", label: /^lane\/([a-z0-9]{8,32})\/0$/, protocol: LANE_PROTOCOL },
] as const;

function halfOf({ label, protocol }: Channel): { id: string; half: "control" | "lane" } | undefined {
  for (const form of FORMS) {
    const id = form.protocol === protocol ? form.label.exec(label)?.[1] : undefined;
    if (id !== undefined) return { id, half: form.half };
  }
  return undefined;
}
