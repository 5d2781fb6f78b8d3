/** Where received files go. A sink gets verified blocks in any order and never holds a file in memory. */
import type { Manifest } from "./manifest.js";

/** What is left to do for the page once everything is written. */
export type Delivery =
  /** The files are where the person chose. */
  | { readonly kind: "placed" }
  /** One file to hand over as a download; its bytes are on disk. */
  | { readonly kind: "download"; readonly blob: Blob; readonly name: string };

/** A place for the files of one transfer. */
export interface Sink {
  /** Called once, before `accept` is sent. */
  open(manifest: Manifest): Promise<void>;
  /** Writes bytes of the file at index `file`; `bytes` belong to the caller again once it resolves. */
  write(file: number, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Called once, when all files are whole and verified. */
  finish(): Promise<Delivery>;
  /** Removes what was made, also by an `open` that failed. */
  abort(): Promise<void>;
}

/** One object written at any position: what a download is made in. */
export interface Store {
  open(): Promise<void>;
  write(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** The finished object. */
  finish(): Promise<Blob>;
  abort(): Promise<void>;
}
