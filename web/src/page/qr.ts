/** A QR code as SVG elements, always dark on light because many readers need that. */
import encodeQR from "qr";

const SVG = "http://www.w3.org/2000/svg";

/** A QR code for `text`. */
export function qrCode(text: string, label: string): SVGElement {
  const rows = encodeQR(text, "raw", { ecc: "medium", border: 2 });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${rows.length} ${rows.length}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  svg.setAttribute("class", "qr");
  svg.setAttribute("shape-rendering", "crispEdges");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join(""));
  svg.append(path);
  return svg;
}
