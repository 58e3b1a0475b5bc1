// Small pictures of persons. The service keeps no images, so there is one only for persons who were in a photo of this
// tab; all others have their initials.
import { h } from "./dom.js";
import { labelled } from "./i18n.js";

const SIDE = 112;

const crops = new Map();

/** Remember what a person looks like, by a photo of this tab. */
export function remember(personId, photo, box) {
  if (!crops.has(personId)) crops.set(personId, photo.crop(box, SIDE).toDataURL("image/jpeg", 0.85));
}

/** Forget everybody. */
export function forgetAll() {
  crops.clear();
}

/** Return the picture of a person. */
export function avatar(personId, name) {
  const crop = crops.get(personId);
  if (crop !== undefined) return h("img", { class: "avatar", src: crop, alt: "" });
  const letters = [...name.trim()];
  const initials = h("span", { class: "avatar", "aria-hidden": "true" }, (letters[0] ?? "?").toUpperCase());
  return labelled(initials, "title", "no-picture");
}
