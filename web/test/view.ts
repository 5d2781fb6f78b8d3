/** What a person does and sees on the page, by roles and labels. */
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";

/** Digest of a file on disk, in hex. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Chooses `paths` on the start page at `url` and returns the link that is shown. */
export async function offerFiles(page: Page, url: string, paths: string | string[], picker = "Choose files"): Promise<string> {
  await page.goto(url);
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: picker }).click();
  await (await chooser).setFiles(paths);
  return new URL(`#${await shownCode(page)}`, url).href;
}

/** The code that a host shows. */
export async function shownCode(page: Page): Promise<string> {
  const code = page.getByLabel(/^Code \d/);
  await code.waitFor();
  return (await code.textContent()) ?? "";
}

/** Accepts the offer and returns where the download landed. */
export async function acceptDownload(page: Page): Promise<{ path: string; name: string }> {
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Accept" }).click();
  const done = await download;
  return { path: await done.path(), name: done.suggestedFilename() };
}

/** Until every page says that its transfer is whole. */
export async function complete(...pages: readonly Page[]): Promise<void> {
  for (const page of pages) await page.getByText(/^Complete and verified/).waitFor();
}

/** The digests of all transfers on the page. */
export async function digests(page: Page): Promise<string[]> {
  for (const summary of await page.getByText("Verified digest").all()) await summary.click();
  return page.getByText(/^[0-9a-f]{64}$/).allTextContents();
}

/** The six words that the page shows. */
export async function phrase(page: Page): Promise<string> {
  await page.getByText("Verify", { exact: true }).click();
  return (await page.getByText(/^([a-z]+ ){5}[a-z]+$/).textContent()) ?? "";
}

/** Unpacks a zip with a reader that is not ours, which checks every CRC. */
export function unzip(zip: string, into: string): void {
  const program = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; z.extractall(sys.argv[2])";
  execFileSync("python3", ["-c", program, zip, into]);
}

/** `link` with another last word: a code that nobody made. */
export function wrongCode(link: string): string {
  return link.replace(/[a-z]+$/, (word) => (word === "zoo" ? "zone" : "zoo"));
}

/** Keeps how the page looks now, if `SHOTS` names a folder. */
export async function shot(page: Page, name: string): Promise<void> {
  const folder = process.env["SHOTS"];
  if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/** As {@link shot}, in both themes and on a desktop and a phone. */
export async function shots(page: Page, name: string): Promise<void> {
  if (process.env["SHOTS"] === undefined) return;
  const before = page.viewportSize();
  for (const colorScheme of ["light", "dark"] as const) {
    for (const [device, width, height] of [["desktop", 1280, 800], ["phone", 375, 720]] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      await shot(page, `${name}-${device}-${colorScheme}`);
    }
  }
  await page.emulateMedia({ colorScheme: null });
  if (before !== null) await page.setViewportSize(before);
}
