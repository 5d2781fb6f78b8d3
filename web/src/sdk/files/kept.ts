/** What a receiver has of an earlier attempt, compared with what there is to send (docs/protocol.md 5.6). */
import { type Bytes, equal, fromBase64Url } from "../bytes.js";
import { type Fields, Malformed, array, integer, object, text } from "../json.js";

/** Blocks of one file without a gap. */
export interface Range {
  readonly file: number;
  readonly from: number;
  readonly count: number;
}

/** One block and its digest. */
export interface KeptBlock {
  readonly file: number;
  readonly block: number;
  readonly digest: Bytes;
}

const DIGEST = 32;
/** In one message of 65,535 bytes. */
const MOST_RUNS = 2_000;
/** Ranges in one message, of up to 64 characters each. */
const RANGES = 900;

/** The blocks of a `have` message. @throws Malformed */
export function parseKept(fields: Fields): readonly KeptBlock[] {
  return array(fields, "blocks", MOST_RUNS).flatMap((value) => {
    const run = object(value, "run");
    const [file, from] = [integer(run, "file", 0, 0xffff_ffff), integer(run, "from", 0, 0xffff_ffff)];
    let joined: Bytes;
    try {
      joined = fromBase64Url(text(run, "digests", 65_535));
    } catch {
      throw new Malformed("bad digests");
    }
    if (joined.length === 0 || joined.length % DIGEST !== 0) throw new Malformed("bad digests");
    return Array.from({ length: joined.length / DIGEST }, (_, i) => ({ file, block: from + i, digest: joined.slice(i * DIGEST, (i + 1) * DIGEST) }));
  });
}

/** Compares blocks one after the other, as they are told. */
export class Comparison {
  #last: { file: number; block: number } | undefined;
  #changed: Range[] = [];
  #queue: Promise<void> = Promise.resolve();

  /** `digestOf` reads a block; `exists` and `same` are asked and told in order. */
  constructor(
    private readonly exists: (file: number, block: number) => boolean,
    private readonly digestOf: (file: number, block: number) => Promise<Bytes>,
    private readonly same: (block: KeptBlock) => void,
  ) {}

  /** Takes the blocks of one message. @throws Malformed if they are not in order, or not in the manifest */
  add(blocks: readonly KeptBlock[]): void {
    for (const { file, block } of blocks) {
      const last = this.#last;
      const behind = last === undefined || file > last.file || (file === last.file && block > last.block);
      if (!behind || !this.exists(file, block)) throw new Malformed("it has blocks that do not exist");
      this.#last = { file, block };
    }
    this.#queue = this.#queue.then(async () => {
      for (const block of blocks) await this.#compare(block);
    });
    this.#queue.catch(() => undefined);
  }

  /** The messages that answer, when everything is compared; it throws what `digestOf` did. */
  async answer(): Promise<readonly object[]> {
    await this.#queue;
    const answers: object[] = [];
    for (let from = 0; from < this.#changed.length; from += RANGES) {
      answers.push({ type: "changed", blocks: this.#changed.slice(from, from + RANGES) });
    }
    return [...answers, { type: "checked" }];
  }

  async #compare(kept: KeptBlock): Promise<void> {
    const { file, block, digest } = kept;
    // A file that cannot be read ends the transfer: to call it changed would cost the receiver what it has.
    if (equal(await this.digestOf(file, block), digest)) return this.same(kept);
    const range = this.#changed.at(-1);
    if (range?.file === file && range.from + range.count === block) {
      this.#changed[this.#changed.length - 1] = { ...range, count: range.count + 1 };
    } else {
      this.#changed.push({ file, from: block, count: 1 });
    }
  }
}
