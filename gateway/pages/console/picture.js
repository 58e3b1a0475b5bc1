// A photo with the faces that were found in it.
import { h } from "./dom.js";
import { labelled } from "./i18n.js";

/** How high a photo is at most, so that what was found is still seen below it. */
const HIGHEST_REM = 24;

/**
 * Return a photo with a numbered box around each face. boxes: [left, top, width, height] in pixels of the photo, or null
 * for a face without one. states: a class for each, such as "found", "unknown", "poor". onSelect: gets the number of the
 * face that is selected; its method `select(number)` marks one.
 */
export function picture(photo, boxes, states, onSelect = null) {
  const canvas = h("canvas", { width: photo.width, height: photo.height, "aria-hidden": "true" });
  canvas.getContext("2d").drawImage(photo.bitmap, 0, 0);
  const root = h("figure", { class: "picture" }, canvas);
  root.style.width = `min(100%, ${(HIGHEST_REM * photo.width) / photo.height}rem)`;
  const buttons = boxes.map((box, number) => {
    const button = h("button", { type: "button", class: `box ${states[number]}` }, h("span", {}, String(number + 1)));
    labelled(button, "aria-label", "face-number", { number: number + 1 });
    if (box === null) return button;
    const [left, top, width, height] = box;
    place(button, left / photo.width, top / photo.height, width / photo.width, height / photo.height);
    if (onSelect === null) button.disabled = true;
    else button.addEventListener("click", () => onSelect(number));
    root.append(button);
    return button;
  });
  root.select = (number) => {
    for (const [each, button] of buttons.entries()) button.setAttribute("aria-pressed", String(each === number));
  };
  return root;
}

function place(element, left, top, width, height) {
  const percent = (part) => `${Math.max(0, Math.min(1, part)) * 100}%`;
  Object.assign(element.style, { left: percent(left), top: percent(top), width: percent(width), height: percent(height) });
}
