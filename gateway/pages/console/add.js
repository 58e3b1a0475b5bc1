// The view that adds the faces of a photo.
import { call, newOnce } from "./api.js";
import { avatar, remember } from "./avatar.js";
import { chooser } from "./chooser.js";
import { programs } from "./code.js";
import { field, fill, h } from "./dom.js";
import { folderImport } from "./folder.js";
import { labelled, text } from "./i18n.js";
import { openPerson } from "./person.js";
import { picture } from "./picture.js";
import { announce, problem } from "./problems.js";
import { session } from "./session.js";

/** Return the view. */
export function addView() {
  const name = h("input", { autocomplete: "off", maxlength: 128 });
  const externalId = h("input", { autocomplete: "off", maxlength: 128, pattern: "[!-~]*" });
  const which = h("select", {}, ["all", "largest", "one"].map((value) => choice(value, `faces-${value}`)));
  const unique = h("input", { type: "checkbox", checked: true });
  const button = h("button", { disabled: true }, text("add"));
  const results = h("div", { class: "results", "aria-live": "polite" });
  const photoField = chooser("photo-to-add", (photo) => {
    current = photo;
    button.disabled = false;
    photoField.show(picture(photo, [], []));
    fill(results);
    if (!form.contains(document.activeElement)) name.focus(); // who writes in the form already goes on there
  });
  let current = null;

  const form = h(
    "form",
    { class: "stack" },
    field(text("name"), name, text("name-hint")),
    field(text("external-id"), externalId, text("external-id-hint")),
    field(text("which-faces"), which),
    h("label", { class: "check" }, unique, text("only-if-new")),
    button,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add(current);
  });

  function add(photo) {
    const options = {
      name: name.value || null,
      external_id: externalId.value || null,
      faces: which.value,
      unique: unique.checked ? 95 : null,
      details: 1,
      facedb: session.facedb,
    };
    return send(photo, options, newOnce());
  }

  async function send(photo, options, once) {
    button.disabled = true;
    fill(results, h("p", { class: "busy" }, text("adding")));
    const shown = programs({ method: "POST", path: "v1/addface", form: { ...options, img: { file: photo.name || "photo.jpg" } } });
    try {
      const added = await call("POST", "v1/addface", { form: { ...options, img: photo.blob }, once });
      photoField.show(picture(photo, added.map((face) => face.box), added.map((face) => (face.existing ? "unknown" : "found"))));
      fill(results, h("ol", { class: "matches" }, added.map((face) => row(photo, face))), shown);
      announce("faces-added", { count: added.filter((face) => !face.existing).length });
      await session.refresh();
    } catch (error) {
      fill(results, problem(error, () => send(photo, options, once)), shown);
    } finally {
      button.disabled = false;
    }
  }

  const imported = h("details", {}, h("summary", {}, text("import-folder")), folderImport());
  return labelled(h("div", { class: "columns" }, h("div", {}, photoField, form), h("div", {}, results, imported)), "aria-label", "add");
}

function choice(value, key) {
  const option = text(key, {}, "option");
  option.value = value;
  return option;
}

function row(photo, face) {
  if (face.box) remember(face.person_id, photo, face.box);
  const said = face.existing ? text("existing", { confidence: face.confidence }) : text("added");
  const details = h("button", { type: "button", class: "quiet", click: () => openPerson(face.person_id) }, text("details"));
  return h(
    "li",
    { class: "match" },
    avatar(face.person_id, face.name),
    h("div", { class: "who" }, h("strong", {}, face.name), h("small", {}, said)),
    h("div", { class: "row end" }, details),
  );
}
