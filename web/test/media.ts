/** Looking at pictures and listening to sound: in pages through the browser, in files through ffmpeg. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import type { BrowserContext, Page } from "playwright-core";

/** Largest output of ffmpeg that is read. */
const OUTPUT = 256 * 1024 * 1024;

/** Remembers every connection of a page, so that tests can ask the browser what it decodes. */
export async function observe(context: BrowserContext): Promise<void> {
  await context.addInitScript(() => {
    const seen: RTCPeerConnection[] = [];
    const Native = RTCPeerConnection;
    Object.assign(window, {
      seen,
      RTCPeerConnection: class extends Native {
        constructor(configuration?: RTCConfiguration) {
          super(configuration);
          seen.push(this);
        }
      },
    });
  });
}

/** What the browser says of one kind of what arrives, or leaves. */
export async function stats(page: Page, type: "inbound-rtp" | "outbound-rtp", kind: "audio" | "video"): Promise<Readonly<Record<string, number>>> {
  return page.evaluate(
    async ([type, kind]) => {
      const seen = (window as unknown as { seen: RTCPeerConnection[] }).seen;
      let best: Record<string, number> = {};
      for (const connection of seen) {
        for (const entry of (await connection.getStats()).values() as Iterable<Record<string, unknown>>) {
          if (entry["type"] !== type || entry["kind"] !== kind) continue;
          const numbers = Object.fromEntries(Object.entries(entry).filter(([, value]) => typeof value === "number")) as Record<string, number>;
          if ((numbers["bytesReceived"] ?? numbers["bytesSent"] ?? 0) >= (best["bytesReceived"] ?? best["bytesSent"] ?? 0)) best = numbers;
        }
      }
      return best;
    },
    [type, kind] as const,
  );
}

/** Waits for the first picture of a video element; returns when it came, in ms since the page was opened. */
export async function firstPicture(page: Page, selector: string): Promise<number> {
  const handle = await page.waitForFunction((selector) => {
    const video = document.querySelector<HTMLVideoElement>(selector);
    return video !== null && video.videoWidth > 0 && video.readyState >= 2 ? performance.now() : undefined;
  }, selector);
  return Number(await handle.jsonValue());
}

/** Waits until a video element has shown five different pictures: one may be all that came, and some cameras are one colour. */
export async function moves(page: Page, selector: string): Promise<void> {
  await page.waitForFunction((selector) => {
    const shown = window as unknown as { shown?: Map<string, Set<string>> };
    const video = document.querySelector<HTMLVideoElement>(selector);
    const context = new OffscreenCanvas(64, 36).getContext("2d");
    if (video === null || video.videoWidth === 0 || context === null) return false;
    context.drawImage(video, 0, 0, 64, 36);
    shown.shown ??= new Map();
    const pictures = shown.shown.get(selector) ?? new Set();
    shown.shown.set(selector, pictures.add(context.getImageData(0, 0, 64, 36).data.join()));
    if (pictures.size < 5) return false;
    // Whoever asks again means pictures from then on.
    shown.shown.delete(selector);
    return true;
  }, selector);
}

/** How bright a video element was, 0 to 255, and how many colours it had at least once, over `ms`. */
export async function watch(page: Page, selector: string, ms: number): Promise<{ readonly darkest: number; readonly brightest: number; readonly colours: number }> {
  return page.evaluate(
    async ([selector, ms]) => {
      const video = document.querySelector<HTMLVideoElement>(selector);
      const canvas = new OffscreenCanvas(64, 36);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      let [darkest, brightest, colours] = [255, 0, 0];
      const until = performance.now() + ms;
      while (video !== null && context !== null && performance.now() < until) {
        context.drawImage(video, 0, 0, 64, 36);
        const { data } = context.getImageData(0, 0, 64, 36);
        const seen = new Set<number>();
        let sum = 0;
        for (let i = 0; i < data.length; i += 4) {
          const [r = 0, g = 0, b = 0] = data.slice(i, i + 3);
          seen.add(((r >> 4) << 8) | ((g >> 4) << 4) | (b >> 4));
          sum += (r + g + b) / 3;
        }
        const mean = sum / (data.length / 4);
        [darkest, brightest, colours] = [Math.min(darkest, mean), Math.max(brightest, mean), Math.max(colours, seen.size)];
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
      return { darkest, brightest, colours };
    },
    [selector, ms] as const,
  );
}

/** Makes a file of moving pictures, with a key frame each second. */
export function picture(path: string, seconds: number, encoder: readonly string[]): void {
  const source = `testsrc2=size=320x180:rate=30:duration=${seconds}`;
  execFileSync("ffmpeg", ["-y", "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", ...encoder, "-g", "30", path]);
}

/** A recording as ffprobe sees it. */
export interface Probed {
  readonly codecs: readonly string[];
  /** Of the whole file, as its header says. */
  readonly seconds: number;
  readonly frames: number;
  /** What the decoder complained of. */
  readonly complaints: string;
}

/** Looks at a recording, and decodes all of it. */
export function probe(path: string): Probed {
  const json = execFileSync("ffprobe", ["-v", "error", "-show_entries", "stream=codec_name:format=duration", "-of", "json", path], { encoding: "utf8" });
  const { streams, format } = JSON.parse(json) as { streams: { codec_name: string }[]; format: { duration: string } };
  const counted = spawnSync("ffprobe", ["-v", "error", "-count_frames", "-show_entries", "stream=codec_type,nb_read_frames", "-of", "json", path], { encoding: "utf8" });
  const decoded = (JSON.parse(counted.stdout) as { streams: { codec_type: string; nb_read_frames: string }[] }).streams;
  const frames = Number(decoded.find(({ codec_type }) => codec_type === "video")?.nb_read_frames);
  return { codecs: streams.map(({ codec_name }) => codec_name), seconds: Number(format.duration), frames, complaints: counted.stderr };
}

/**
 * When a flash is seen and a tone is heard in a recording, in ms; only those are counted that begin after the first
 * second, which is quiet.
 */
export function flashesAndTones(path: string): { readonly flashes: readonly number[]; readonly tones: readonly number[] } {
  const times = execFileSync("ffprobe", ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0", path], { encoding: "utf8", maxBuffer: OUTPUT });
  const stamps = times.split("\n").map((line) => parseFloat(line)).filter((time) => !Number.isNaN(time));
  const grey = execFileSync("ffmpeg", ["-v", "error", "-i", path, "-map", "0:v:0", "-vf", "scale=1:1:flags=area", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"], { maxBuffer: OUTPUT });
  assert.ok(Math.abs(stamps.length - grey.length) <= 1, `${stamps.length} times for ${grey.length} pictures`);
  const bright = stamps.map((time, index) => ({ ms: 1000 * time, level: grey[index] ?? 0 }));
  // 48 samples are a millisecond; silence fills up what comes before the first sound.
  const sound = execFileSync("ffmpeg", ["-v", "error", "-i", path, "-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"], { maxBuffer: OUTPUT });
  const loud: { ms: number; level: number }[] = [];
  for (let at = 0; at + 480 <= sound.length / 2; at += 240) {
    let peak = 0;
    for (let i = at; i < at + 480; i++) peak = Math.max(peak, Math.abs(sound.readInt16LE(2 * i)));
    loud.push({ ms: at / 48, level: peak });
  }
  return { flashes: onsets(bright), tones: onsets(loud) };
}

/** Where a level rises above the middle between its extremes, having been below for a while. */
function onsets(levels: readonly { readonly ms: number; readonly level: number }[]): number[] {
  const values = levels.map(({ level }) => level);
  const between = (values.reduce((a, b) => Math.max(a, b), -Infinity) + values.reduce((a, b) => Math.min(a, b), Infinity)) / 2;
  const found: number[] = [];
  let below = -Infinity;
  let isBelow = false;
  for (const { ms, level } of levels) {
    if (level < between) {
      if (!isBelow) below = ms;
      isBelow = true;
    } else {
      if (isBelow && ms - below > 300) found.push(ms);
      isBelow = false;
    }
  }
  return found;
}

/** How much later pictures come than their sound, in ms: the middle of all pairs, and how much later than at first they come in the end. */
export function skew(path: string): { readonly late: number; readonly drift: number } {
  const { flashes, tones } = flashesAndTones(path);
  const distances = flashes.flatMap((flash) => {
    const near = tones.map((tone) => flash - tone).filter((distance) => Math.abs(distance) < 400);
    return near.length > 0 ? [near.reduce((a, b) => (Math.abs(a) < Math.abs(b) ? a : b))] : [];
  });
  assert.ok(distances.length >= 3, `flashes ${flashes.join()} and tones ${tones.join()} do not pair`);
  return { late: middle(distances), drift: middle(distances.slice(-10)) - middle(distances.slice(0, 10)) };
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
}
