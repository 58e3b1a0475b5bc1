// The quality of a face, in words.
import { h } from "./dom.js";
import { number, text } from "./i18n.js";

/** Return the measures of a face's quality, folded away; null without any. */
export function describeQuality(quality) {
  if (quality === null || quality === undefined) return null;
  const rows = Object.entries(quality)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => [h("dt", {}, text(`quality-${name}`)), h("dd", {}, number(value, 2))]);
  return h("details", { class: "quality" }, h("summary", {}, text("quality")), h("dl", {}, rows.flat()));
}
