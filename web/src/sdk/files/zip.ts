/**
 * Zip files without compression (APPNOTE 6.3, with zip64), laid out from the manifest alone: every byte has its place
 * before the first one arrives. Pure.
 */
import { type Bytes, concat, utf8 } from "../bytes.js";
import type { Entry } from "./manifest.js";

/** Where everything goes. */
export interface ZipLayout {
  /** Position of each entry's header. */
  readonly headers: readonly number[];
  /** Position of each entry's data. */
  readonly data: readonly number[];
  /** Position of the central directory. */
  readonly directory: number;
}

const UTF8_NAMES = 0x0800;
const LIMIT32 = 0xffff_ffff;
/** Version 4.5 is the first with zip64; 3 is Unix, whose attributes keep modes. */
const VERSION = 45;
const UNIX = 3;

/** Places for `entries`, in their order. */
export function layOutZip(entries: readonly Entry[]): ZipLayout {
  const headers: number[] = [];
  const data: number[] = [];
  let at = 0;
  for (const entry of entries) {
    headers.push(at);
    at += zipHeader(entry, 0).length;
    data.push(at);
    at += sizeOf(entry);
  }
  return { headers, data, directory: at };
}

/** The header in front of an entry's data; its length does not depend on `crc`. */
export function zipHeader(entry: Entry, crc: number): Bytes {
  const name = nameOf(entry);
  const size = sizeOf(entry);
  const extra = size >= LIMIT32 ? extra64([size, size]) : new Uint8Array();
  const size32 = Math.min(size, LIMIT32);
  const fixed = little([4, 0x0403_4b50], [2, VERSION], [2, UTF8_NAMES], [2, 0], ...dosTime(entry.mtime), [4, crc], [4, size32], [4, size32], [2, name.length], [2, extra.length]);
  return concat(fixed, name, extra);
}

/** The central directory and the end records. */
export function zipDirectory(entries: readonly Entry[], layout: ZipLayout, checksums: readonly number[]): Bytes {
  const records = entries.map((entry, i) => directoryRecord(entry, layout.headers[i] ?? 0, checksums[i] ?? 0));
  const directory = concat(...records);
  const [count, size, start] = [entries.length, directory.length, layout.directory];
  const end64 = little([4, 0x0606_4b50], [8, 44], [2, (UNIX << 8) | VERSION], [2, VERSION], [4, 0], [4, 0], [8, count], [8, count], [8, size], [8, start]);
  const locator = little([4, 0x0706_4b50], [4, 0], [8, start + size], [4, 1]);
  const count16 = Math.min(count, 0xffff);
  const end = little([4, 0x0605_4b50], [2, 0], [2, 0], [2, count16], [2, count16], [4, Math.min(size, LIMIT32)], [4, Math.min(start, LIMIT32)], [2, 0]);
  const needs64 = count >= 0xffff || size >= LIMIT32 || start >= LIMIT32;
  return needs64 ? concat(directory, end64, locator, end) : concat(directory, end);
}

function directoryRecord(entry: Entry, header: number, crc: number): Bytes {
  const name = nameOf(entry);
  const size = sizeOf(entry);
  const large = [...(size >= LIMIT32 ? [size, size] : []), ...(header >= LIMIT32 ? [header] : [])];
  const extra = large.length > 0 ? extra64(large) : new Uint8Array();
  const size32 = Math.min(size, LIMIT32);
  // File type and permissions in the upper half, as Unix has them; execute bits only if the sender gave them.
  const mode = entry.kind === "directory" ? 0o040755 : 0o100000 | (entry.mode ?? 0o644);
  const fixed = little([4, 0x0201_4b50], [2, (UNIX << 8) | VERSION], [2, VERSION], [2, UTF8_NAMES], [2, 0], ...dosTime(entry.mtime), [4, crc], [4, size32], [4, size32], [2, name.length], [2, extra.length], [2, 0], [2, 0], [2, 0], [4, mode * 0x10000], [4, Math.min(header, LIMIT32)]);
  return concat(fixed, name, extra);
}

function extra64(values: readonly number[]): Bytes {
  return little([2, 1], [2, 8 * values.length], ...values.map((value): [number, number] => [8, value]));
}

function nameOf({ kind, path }: Entry): Bytes {
  return utf8(kind === "directory" ? `${path}/` : path);
}

function sizeOf(entry: Entry): number {
  return entry.kind === "file" ? entry.size : 0;
}

/** Time and date as MS-DOS had them: from 1980 to 2107, in steps of two seconds, local time. */
function dosTime(mtime: number | undefined): [[number, number], [number, number]] {
  const time = new Date(mtime ?? 0);
  const year = time.getFullYear();
  if (!(year >= 1980 && year <= 2107)) return [[2, 0], [2, (1 << 5) | 1]];
  return [
    [2, (time.getHours() << 11) | (time.getMinutes() << 5) | (time.getSeconds() >> 1)],
    [2, ((year - 1980) << 9) | ((time.getMonth() + 1) << 5) | time.getDate()],
  ];
}

/** Little-endian numbers, each given as [bytes, value]. */
function little(...fields: readonly [number, number][]): Bytes {
  const bytes = new Uint8Array(fields.reduce((total, [length]) => total + length, 0));
  let at = 0;
  for (const [length, value] of fields) {
    for (let i = 0, rest = value; i < length; i++, rest = Math.floor(rest / 256)) bytes[at++] = rest % 256;
  }
  return bytes;
}
