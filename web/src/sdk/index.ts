/**
 * Peerline for browsers: direct, end-to-end encrypted lines to terminals and other tabs.
 * @packageDocumentation
 */
export { Line } from "./line.js";
export type { LineEvents, LineOptions, LineState, ShownCode, Visit } from "./line-events.js";
export { type Code, completeCode, findWord, formatCode, linkOf, parseCode } from "./code.js";
export { PeerlineError, type FailureCode } from "./errors.js";
export { Events } from "./events.js";
export { Channel, type ChannelData, type ChannelEvents } from "./channel.js";
export { Chat, type ChatEvents, type ChatPeople, type ChatSaid, chatName } from "./chat/chat.js";
export { type ChatKind, LABEL as CHAT_LABEL, PROTOCOL as CHAT_PROTOCOL } from "./chat/messages.js";
export { PROTOCOL as PIPE_PROTOCOL, Pipe, type PipeEvents } from "./pipe/pipe.js";
export { Bench, type BenchEvents, PROTOCOL as BENCH_PROTOCOL } from "./bench/bench.js";
export type { Latency, Report, Side, Step } from "./bench/messages.js";
export { Call, type CallEvents, type Kind, type Quality } from "./call.js";
export { Room, type Person, type RoomEvents, type RoomOptions } from "./room.js";
export type { Engine, Hello, Intent } from "./control.js";
export type { Role } from "./keys.js";
export type { Path } from "./path.js";
export type { Entry, Manifest } from "./files/manifest.js";
export { type SourceEntry, sourceOfDrop, sourceOfFiles } from "./files/source.js";
export { type OutgoingEvents, type OutgoingTransfer, type Receipt, type SendOptions } from "./files/outgoing.js";
export { type IncomingEvents, type IncomingTransfer } from "./files/incoming.js";
export type { Progress } from "./files/rate.js";
export type { Delivery, Sink, Store } from "./files/sink.js";
export { canPick, pickSink } from "./files/sink-picked.js";
export { downloadSink, downloadStore } from "./files/saving.js";
export { cleaned, legible } from "./text.js";
