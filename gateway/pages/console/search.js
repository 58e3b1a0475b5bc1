// The view that searches for the faces of a photo.
import { call, newOnce } from "./api.js";
import { chooser } from "./chooser.js";
import { programs } from "./code.js";
import { field, fill, h } from "./dom.js";
import { labelled, text } from "./i18n.js";
import { matchRows } from "./matches.js";
import { openPerson } from "./person.js";
import { picture } from "./picture.js";
import { announce, problem } from "./problems.js";
import { describeQuality } from "./quality.js";
import { session } from "./session.js";

/** Return the view. */
export function searchView() {
  const least = h("select", {}, [0, 65, 80, 90, 95].map((value) => h("option", { value, selected: value === 80 }, String(value))));
  const limit = h("select", {}, [5, 10, 50].map((value) => h("option", { value, selected: value === 10 }, String(value))));
  const results = h("div", { class: "results", "aria-live": "polite" });
  const photoField = chooser("photo-to-search", search);
  let found = null; // the photo and its faces, with everybody who is the least bit similar
  for (const option of [least, limit]) option.addEventListener("change", () => found !== null && show());

  async function search(photo) {
    found = null;
    photoField.show(picture(photo, [], []));
    fill(results, h("p", { class: "busy" }, text("searching")));
    const options = { faces: "all", details: 1, min_confidence: 0, facedb: session.facedb };
    try {
      await session.refresh(); // how many are stored is part of what a confidence means
      found = { photo, faces: await call("POST", "v1/searchface", { form: { ...options, img: photo.blob } }) };
      show();
      announce("faces-found", { count: found.faces.length });
    } catch (error) {
      if (error.status === "NO_SIMILAR_FACE") fill(results, h("p", {}, text("nobody-stored")), addForm(whole(photo)));
      else fill(results, problem(error, () => search(photo)));
    }
  }

  function show() {
    const { photo } = found;
    const faces = found.faces.map((face) => {
      const enough = face.matches.filter((match) => match.confidence >= Number(least.value));
      return { ...face, enough: enough.slice(0, Number(limit.value)) };
    });
    const states = faces.map((face) => (face.reason ? "poor" : face.enough.length > 0 ? "found" : "unknown"));
    const shown = picture(photo, faces.map((face) => face.box), states, select);
    const sections = faces.map((face, number) => faceSection(photo, face, number, faces.length));
    photoField.show(shown);
    fill(results, h("div", { class: "faces" }, sections), programs(request(photo)));

    function select(number) {
      shown.select(number);
      sections[number].scrollIntoView({ block: "nearest" });
      sections[number].focus({ preventScroll: true });
    }
  }

  function request(photo) {
    const options = { faces: "all", limit: limit.value, min_confidence: least.value, facedb: session.facedb };
    return { method: "POST", path: "v1/searchface", form: { ...options, img: { file: whole(photo).file } } };
  }

  function faceSection(photo, face, number, count) {
    const image = count === 1 ? whole(photo) : { file: "face.jpg", blob: async () => (await photo.alone(face.box)).blob };
    const title = count === 1 ? null : h("h3", {}, text("face-number", { number: number + 1 }));
    return h("section", { class: "face", tabindex: "-1" }, title, answerTo(photo, face, image), describeQuality(face.quality));
  }

  function answerTo(photo, face, image) {
    if (face.reason) return h("p", { class: "problem" }, text(`flaw-${face.reason}`));
    if (face.enough.length === 0) return [nobody(face.matches[0]), addForm(image)];
    const addTo = (match) =>
      h("button", { type: "button", class: "quiet", click: (event) => addPhoto(event.currentTarget, match, image) }, text("add-to-person"));
    return matchRows(face.enough, openPerson, { photo, box: face.box, actions: addTo });
  }

  function nobody(nearest) {
    const given = nearest && { least: Number(least.value), confidence: nearest.confidence };
    return h("p", {}, given ? text("nearest", given) : text("problem-nobody"));
  }

  const options = h("div", { class: "options" }, field(text("least-confidence"), least, text("least-hint")), field(text("most-matches"), limit));
  return labelled(h("div", { class: "columns" }, h("div", {}, photoField, options), results), "aria-label", "search");
}

/** Return an image that can be added: the name of its file in programs, and a function that returns its Blob. */
function whole(photo) {
  return { file: photo.name || "photo.jpg", blob: async () => photo.blob };
}

/** Add an image, under one id however often it is tried. Returns the person and the same as a program. */
async function addFace(image, options, once) {
  const form = { ...options, facedb: session.facedb };
  const shown = programs({ method: "POST", path: "v1/addface", form: { ...form, img: { file: image.file } } });
  const [person] = await call("POST", "v1/addface", { form: { ...form, img: await image.blob() }, once });
  return [person, shown];
}

/** Return a form that adds a face that nobody has. image: of that face alone. */
function addForm(image) {
  const name = h("input", { autocomplete: "off", maxlength: 128 });
  const said = h("div", { role: "status" });
  const form = h("form", { class: "inline" }, field(text("name"), name), h("button", {}, text("add-as-new")), said);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const once = newOnce();
    tell(said, async () => {
      const [person, shown] = await addFace(image, { name: name.value || null, faces: "largest" }, once);
      await session.refresh();
      return [text("added-person", { name: person.name }), shown];
    });
  });
  return form;
}

/** Add the face to a person, and say so below the button. */
async function addPhoto(button, match, image) {
  const said = h("div", { class: "done", role: "status" });
  button.closest("li").append(said);
  button.disabled = true;
  const once = newOnce();
  await tell(said, async () => {
    const [, shown] = await addFace(image, { person_id: match.person_id }, once);
    return [text("added-photo", { name: match.name }), shown];
  });
}

async function tell(place, action) {
  try {
    fill(place, await action());
  } catch (error) {
    fill(place, problem(error, () => tell(place, action)));
  }
}
