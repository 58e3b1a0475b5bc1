// The face databases of a tenant: made, dropped, and what their confidences stand for.
import { call } from "./api.js";
import { programs } from "./code.js";
import { confirmed } from "./dialog.js";
import { field, h } from "./dom.js";
import { openConfidence } from "./facedb_confidence.js";
import { number, text } from "./i18n.js";
import { row, table } from "./table.js";

/**
 * Return the part of a tenant's section. tenant: the path of the tenant. change: does an action and shows the section
 * again. Throws ApiError.
 */
export async function facedbsPart(tenant, change) {
  const path = `${tenant}/facedbs`;
  const name = h("input", { autocomplete: "off", required: true, maxlength: 64 });
  const form = h("form", { class: "inline" }, field(text("new-facedb"), name), h("button", {}, text("create")));
  const request = () => ({ method: "POST", path, json: { name: name.value } });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change(() => call("POST", path, { json: request().json }));
  });

  async function drop(facedb) {
    const given = { name: facedb.facedb, count: facedb.persons ?? "?" };
    const shown = programs({ method: "DELETE", path: `${path}/${facedb.facedb}` });
    if (!(await confirmed("drop-facedb", "drop-facedb-explained", "drop", given, shown))) return;
    await change(() => call("DELETE", `${path}/${facedb.facedb}`));
  }

  function actions(facedb) {
    const meant = h("button", { type: "button", class: "quiet", click: () => openConfidence(path, facedb.facedb) }, text("confidence"));
    const dropped = h("button", { type: "button", class: "quiet danger", click: () => drop(facedb) }, text("drop"));
    return h("div", { class: "row" }, meant, facedb.default ? text("is-default") : dropped);
  }

  const rows = (await counted(tenant)).map((facedb) => row([facedb.facedb, count(facedb.persons), count(facedb.faces), actions(facedb)]));
  const listed = table("facedbs", ["facedb", "persons", "faces", "actions"], h("tbody", {}, rows));
  return h("section", {}, h("h3", {}, text("facedbs")), listed, form, programs(request, { form }));
}

/** Return the face databases with their counts; without a worker, without. */
async function counted(tenant) {
  try {
    return await call("GET", `${tenant}/counted-facedbs`);
  } catch {
    return (await call("GET", `${tenant}/facedbs`)).map(({ name, ...rest }) => ({ ...rest, facedb: name, persons: null, faces: null }));
  }
}

/** Return a count, nothing where it is not known. */
function count(value) {
  return value === null ? "" : number(value);
}
