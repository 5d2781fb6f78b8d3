/** Files that are dropped where nothing takes them: the browser would leave the page, and the line with it, to show them. */

/** Refuses them everywhere; a place that wants them says so itself. Text may still be dragged into a field. */
export function refuseStrayFiles(): void {
  for (const name of ["dragover", "drop"] as const) {
    window.addEventListener(name, (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      if (name === "dragover" && event.dataTransfer !== null) event.dataTransfer.dropEffect = "none";
    });
  }
}

/** Whether files are being dragged. */
export function carriesFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes("Files") === true;
}
