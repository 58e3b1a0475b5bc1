// One person in a dialog: what is attached, the faces, and what can be done.
import { call, ApiError } from "./api.js";
import { avatar } from "./avatar.js";
import { programs } from "./code.js";
import { confirmed, openDialog } from "./dialog.js";
import { field, fill, h } from "./dom.js";
import { text, time } from "./i18n.js";
import { matchRows } from "./matches.js";
import { problem } from "./problems.js";
import { session } from "./session.js";

let onChange = () => {};

/** Call a function with the id and the new state of each person that is changed here; null once it is deleted. */
export function onPersonChange(listener) {
  onChange = listener;
}

/** Show a person. */
export async function openPerson(personId) {
  const content = h("div", { class: "stack" }, h("p", { class: "busy" }, text("loading")));
  let close = () => {};
  const closed = openDialog("person", content, [["close", null]], { wide: true, onOpen: (choose) => (close = choose) });
  try {
    show(await call("GET", `v1/persons/${personId}`, { query: { facedb: session.facedb } }));
  } catch (error) {
    fill(content, problem(error));
  }
  await closed;

  function show(person) {
    fill(content, head(person), attributes(person, changed), faces(person, changed), alike(person), removal(person, gone));
  }

  function changed(person) {
    onChange(personId, person);
    if (person === null) close(null);
    else show(person);
  }

  function gone() {
    changed(null);
  }
}

function head(person) {
  const added = person.added === null ? text("added-long-ago") : time(person.added);
  const known = [text("added-at"), " ", added, " · ", text("faces-count", { count: person.faces.length ?? person.faces })];
  return h(
    "div",
    { class: "person" },
    avatar(person.person_id, person.name),
    h("div", {}, h("strong", {}, person.name), h("br"), h("code", {}, person.person_id), h("br"), h("small", {}, known)),
  );
}

function attributes(person, changed) {
  const name = h("input", { value: person.name, maxlength: 128, autocomplete: "off" });
  const externalId = h("input", { value: person.external_id ?? "", maxlength: 128, autocomplete: "off" });
  const metadata = h("textarea", { rows: 3, spellcheck: "false" }, person.metadata === undefined ? "" : JSON.stringify(person.metadata, null, 1));
  const said = h("div", { role: "status" });
  const form = h(
    "form",
    { class: "stack" },
    field(text("name"), name),
    field(text("external-id"), externalId),
    field(text("metadata"), metadata, text("metadata-hint")),
    h("div", { class: "row" }, h("button", {}, text("save")), said),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = { facedb: session.facedb, name: name.value, external_id: externalId.value, metadata: metadata.value.trim() };
    try {
      const path = `v1/persons/${person.person_id}`;
      await call("PATCH", path, { form: values });
      changed(await call("GET", path, { query: { facedb: session.facedb } }));
    } catch (error) {
      fill(said, error instanceof ApiError && error.status === "INVALID_REQUEST" ? text("problem-other", { message: error.message }) : problem(error));
    }
  });
  const shown = { facedb: session.facedb, name: person.name, external_id: person.external_id ?? null };
  return h("section", {}, h("h3", {}, text("attributes")), form, programs({ method: "PATCH", path: `v1/persons/${person.person_id}`, form: shown }));
}

function faces(person, changed) {
  if (!Array.isArray(person.faces) || person.faces.length < 2) return null;
  const said = h("div", { role: "status" });
  const rows = person.faces.map((face, number) => {
    const added = face.added === null ? "" : time(face.added);
    const remove = h("button", { type: "button", class: "quiet danger", click: () => removed(face) }, text("delete"));
    return h("li", { class: "row" }, text("face-number", { number: number + 1 }), h("small", {}, added), remove);
  });

  const path = `v1/persons/${person.person_id}/faces/${person.faces[0].face_id}`;
  const shown = programs({ method: "DELETE", path, query: { facedb: session.facedb } });

  async function removed(face) {
    if (!(await confirmed("delete-face", "delete-face-explained", "delete"))) return;
    const query = { facedb: session.facedb };
    try {
      await call("DELETE", `v1/persons/${person.person_id}/faces/${face.face_id}`, { query });
      changed(await call("GET", `v1/persons/${person.person_id}`, { query }));
    } catch (error) {
      fill(said, problem(error));
    }
  }

  return h("section", {}, h("h3", {}, text("faces")), h("ol", { class: "stack" }, rows), said, shown);
}

function alike(person) {
  const found = h("div", { role: "status" });
  const button = h("button", { type: "button", class: "quiet", click: look }, text("who-is-alike"));

  async function look() {
    const form = { person_id: person.person_id, facedb: session.facedb, limit: 10, details: 1 };
    try {
      fill(found, matchRows(await call("POST", "v1/searchface", { form }), openPerson));
    } catch (error) {
      fill(found, error.status === "NO_SIMILAR_FACE" ? h("p", {}, text("problem-nobody")) : problem(error));
    }
  }

  const options = { person_id: person.person_id, facedb: session.facedb, limit: 10 };
  return h("section", {}, button, found, programs({ method: "POST", path: "v1/searchface", form: options }));
}

function removal(person, gone) {
  const said = h("div", { role: "status" });
  const button = h("button", { type: "button", class: "danger", click: remove }, text("delete-person"));

  async function remove() {
    const given = { name: person.name, count: person.faces.length ?? person.faces };
    if (!(await confirmed("delete-person", "delete-person-explained", "delete", given))) return;
    try {
      await call("DELETE", `v1/persons/${person.person_id}`, { query: { facedb: session.facedb } });
      gone();
      await session.refresh();
    } catch (error) {
      fill(said, problem(error));
    }
  }

  const shown = programs({ method: "DELETE", path: `v1/persons/${person.person_id}`, query: { facedb: session.facedb } });
  return h("section", {}, button, said, shown);
}
