/** What a screen reader hears when something changes that the keyboard did not cause. */

/** What is said at the same moment is said together: the later would replace the earlier. */
let together: string[] = [];

/** Says `text` when the reader has a pause. */
export function announce(text: string): void {
  together.push(text);
  if (together.length > 1) return;
  queueMicrotask(() => {
    const region = document.querySelector("#announcements");
    if (region !== null) region.textContent = together.join(" ");
    together = [];
  });
}
