/** Which names may be written (docs/protocol.md 5.3): one function for everything that comes from outside. Pure. */
import { utf8 } from "../bytes.js";
import { Malformed } from "../json.js";

const LONGEST_PATH = 4096;
const LONGEST_NAME = 255;
const DEEPEST = 64;
const FORBIDDEN = /[\\:\p{Cc}\uFFFD\u202A-\u202E\u2066-\u2069\u200E\u200F\u061C]/u;
/** Where native receivers keep unfinished transfers (protocol 5.5). */
const STAGING = ".peerline";
const DEVICE = /^(con|prn|aux|nul|(com|lpt)[1-9¹²³])$/i;

/** Why a path is refused, in words that can follow “name”; undefined if it is fine. */
export function pathFault(path: string): string | undefined {
  if (path === "") return "is empty";
  if (!path.isWellFormed()) return "is not valid text";
  if (path.startsWith("/")) return "is absolute";
  if (utf8(path).length > LONGEST_PATH) return `is longer than ${LONGEST_PATH} bytes`;
  const names = path.split("/");
  if (names.length > DEEPEST) return `is deeper than ${DEEPEST} folders`;
  for (const name of names) {
    const fault = nameFault(name);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function nameFault(name: string): string | undefined {
  if (name === "") return "has an empty part";
  if (name === "." || name === "..") return "leaves its folder";
  if (foldPath(name) === STAGING) return "is where transfers are staged";
  if (/[. ]$/.test(name)) return "ends in a dot or a space";
  if (FORBIDDEN.test(name)) return "holds a character that is not safe in a name";
  if (utf8(name).length > LONGEST_NAME) return `is longer than ${LONGEST_NAME} bytes`;
  const base = name.split(".", 1)[0] ?? "";
  if (DEVICE.test(base.trimEnd())) return "is the name of a device on Windows";
  return undefined;
}

/** The form in which two names are the same file on a system that ignores case and composes characters. */
export function foldPath(path: string): string {
  const composed = path.normalize("NFC");
  // Upper, then lower case is Unicode case folding except for the dotless i, which folds to itself.
  return /^[\x20-\x7e]*$/.test(composed)
    ? composed.toLowerCase()
    : Array.from(composed, (c) => (c === "ı" ? c : c.toUpperCase().toLowerCase())).join("").normalize("NFC");
}

interface Known {
  readonly path: string;
  readonly kind: "file" | "directory";
  /** Whether it has an entry of its own, or only follows from longer paths. */
  readonly named: boolean;
}

/** All paths of one manifest with the folders they imply: each is valid, no two are the same, none runs through a file. */
export class PathSet {
  readonly #known = new Map<string, Known>();

  /** Paths and implied folders so far. */
  get size(): number {
    return this.#known.size;
  }

  /** Adds a path. @throws Malformed */
  add(path: string, kind: "file" | "directory"): void {
    const fault = pathFault(path);
    if (fault !== undefined) throw new Malformed(`a name ${fault}`);
    const folded = foldPath(path);
    const before = this.#known.get(folded);
    const completes = before !== undefined && !before.named && kind === "directory" && before.path === path;
    if (before !== undefined && !completes) throw new Malformed("two names are the same");
    this.#known.set(folded, { path, kind, named: true });
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      if (this.#implied(path.slice(0, end))) break;
    }
  }

  /** Notes an implied folder; true if it was known, and its own parents with it. */
  #implied(path: string): boolean {
    const folded = foldPath(path);
    const before = this.#known.get(folded);
    if (before?.kind === "file") throw new Malformed("a name runs through a file");
    if (before !== undefined && before.path !== path) throw new Malformed("two names are the same");
    if (before === undefined) this.#known.set(folded, { path, kind: "directory", named: false });
    return before !== undefined;
  }
}
