/** Channels without a connection. */
import { Channel } from "../src/sdk/channel.js";

/** What travels. */
export type Message = string | ArrayBuffer;
/** Changes or drops (`undefined`) a message on its way. */
export type Meddle = (message: Message, label: string) => Message | undefined;

/** As much of a data channel as `Channel` uses; messages take one turn of the event loop. */
class Wire {
  readyState: RTCDataChannelState = "open";
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  binaryType = "arraybuffer";
  onmessage?: (event: { data: Message }) => void;
  onclose?: () => void;
  other: Wire | undefined;
  constructor(
    readonly label: string,
    readonly protocol: string,
    private readonly meddle: Meddle,
  ) {}

  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    const copy = typeof data === "string" ? data : data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
    const message = this.meddle(copy, this.label);
    setImmediate(() => message !== undefined && this.other?.onmessage?.({ data: message }));
  }

  dispatchEvent(): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.onclose?.();
  }

  close(): void {
    for (const end of [this, this.other]) {
      setImmediate(() => {
        if (end === undefined || end.readyState === "closed") return;
        end.readyState = "closed";
        end.onclose?.();
      });
    }
  }
}

/** Two channels that are joined; `meddle` is between the first and the second. */
export function wires(label: string, protocol: string, meddle: Meddle): [Channel, Channel] {
  const [a, b] = [new Wire(label, protocol, meddle), new Wire(label, protocol, (message) => message)];
  [a.other, b.other] = [b, a];
  const channel = (wire: Wire): Channel => new Channel(wire as unknown as RTCDataChannel, () => undefined);
  return [channel(a), channel(b)];
}
