/** What every call can turn on and off. */
import { button } from "./dom.js";

/** Whether this browser can share a screen. */
export function canShareScreen(): boolean {
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  return devices !== undefined && "getDisplayMedia" in devices;
}

/** A button that is on or off, and says so. */
export function toggle(label: string, change: (on: boolean) => Promise<void>): { readonly element: HTMLButtonElement; readonly show: (on: boolean) => void } {
  const element = button("plain", label, () => {
    element.disabled = true;
    void change(element.getAttribute("aria-pressed") !== "true").finally(() => (element.disabled = false));
  });
  element.classList.add("toggle");
  const show = (on: boolean): void => element.setAttribute("aria-pressed", String(on));
  show(false);
  return { element, show };
}
