// A field for one photo: dropped, pasted, chosen or taken with the camera.
import { takePhoto } from "./camera.js";
import { h, fill, newId } from "./dom.js";
import { labelled, text } from "./i18n.js";
import { isPhoto, openPhoto } from "./photo.js";
import { announce, problem } from "./problems.js";

const KINDS = "image/*,.heic,.heif";

/** The choosers of the page, which pasting looks at: the first that can be seen gets the photo. */
const choosers = new Set();

/**
 * Return the field. onPhoto: gets each photo. title: a key of the catalogue. Its method `show(element)` puts the photo
 * in place of the invitation, and `clear()` takes it away.
 */
export function chooser(title, onPhoto) {
  const input = h("input", { type: "file", accept: KINDS, id: newId("photo"), class: "visually-hidden" });
  const place = h("div", { class: "chooser-place" });
  const said = h("div", { class: "note", role: "status" });
  const camera = h("button", { type: "button", class: "quiet", click: async () => take(await takePhoto()) }, text("camera"));
  const invitation = h(
    "div",
    { class: "invitation" },
    h("p", {}, text("drop-here")),
    h("label", { for: input.id, class: "button" }, text("choose-photo")),
    navigator.mediaDevices === undefined ? null : camera,
  );
  const root = h("section", { class: "chooser" }, h("h3", {}, text(title)), input, place, said);
  labelled(input, "aria-label", title);

  async function take(file) {
    if (file === null || file === undefined) return;
    fill(said);
    root.classList.add("busy");
    try {
      const photo = await openPhoto(file);
      if (photo.changed !== null) fill(said, changedNote(photo.changed));
      announce("photo-open", { name: photo.name });
      await onPhoto(photo);
    } catch (error) {
      fill(said, problem(error));
    } finally {
      root.classList.remove("busy");
      input.value = "";
    }
  }

  input.addEventListener("change", () => take(input.files[0]));
  root.addEventListener("dragover", (event) => {
    event.preventDefault();
    root.classList.add("dragged-over");
  });
  root.addEventListener("dragleave", () => root.classList.remove("dragged-over"));
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("dragged-over");
    take(event.dataTransfer.files[0]);
  });
  choosers.add({ root, take });

  root.show = (element) => {
    const another = h("div", { class: "row" }, h("label", { for: input.id, class: "button quiet" }, text("another-photo")));
    if (navigator.mediaDevices !== undefined) another.append(camera);
    fill(place, element, another);
  };
  root.clear = () => {
    fill(said);
    if (navigator.mediaDevices !== undefined) invitation.append(camera);
    fill(place, invitation);
  };
  root.clear();
  return root;
}

/** Give pasted photos to the chooser that can be seen. */
export function listenForPastes() {
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find(isPhoto);
    const seen = [...choosers].find(({ root }) => root.isConnected && root.offsetParent !== null);
    if (file === undefined || seen === undefined) return;
    event.preventDefault();
    seen.take(file);
  });
}

function changedNote({ from, to, type }) {
  const [before, after] = [from, to].map((bytes) => Math.max(0.01, bytes / 2 ** 20));
  return text("photo-changed", { type, before: round(before), after: round(after) });
}

function round(megabytes) {
  return Math.round(megabytes * 100) / 100;
}
