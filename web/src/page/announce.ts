/** What a screen reader hears when something changes that the keyboard did not cause. */

/** Says `text` when the reader has a pause. */
export function announce(text: string): void {
  const region = document.querySelector("#announcements");
  if (region !== null) region.textContent = text;
}
