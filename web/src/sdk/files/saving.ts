/** Chooses the best sink this browser has. */
import { DownloadSink } from "./sink-download.js";
import type { Sink, Store } from "./sink.js";
import { BlobStore } from "./store-blob.js";
import { OpfsStore, opfsWorks } from "./store-opfs.js";

/** A sink that ends in a download, on disk from the first byte where the browser lets us. */
export async function downloadSink(): Promise<Sink> {
  return new DownloadSink(await downloadStore());
}

/** A place for one thing to download, which need not have an end yet. */
export async function downloadStore(): Promise<Store> {
  return (await opfsWorks()) ? new OpfsStore() : new BlobStore();
}
