// The view of tenants: their keys and face databases, made and removed.
import { call } from "./api.js";
import { confirmed, openDialog } from "./dialog.js";
import { field, fill, h } from "./dom.js";
import { day, labelled, number, text } from "./i18n.js";
import { problem } from "./problems.js";
import { table } from "./table.js";

const TENANTS = "admin/v1/tenants";

/** Return the view. */
export function tenantsView() {
  const said = h("div", { role: "status" });
  const list = h("div", { class: "stack" });
  const name = h("input", { autocomplete: "off", required: true, maxlength: 64 });
  const form = h("form", { class: "inline" }, field(text("new-tenant"), name), h("button", {}, text("create")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(async () => {
      await call("POST", TENANTS, { json: { name: name.value } });
      name.value = "";
    });
  });

  /** Do something, say what went wrong, and list anew. */
  async function act(action) {
    fill(said);
    try {
      await action();
      fill(list, (await call("GET", TENANTS)).map((tenant) => tenantSection(tenant, act)));
    } catch (error) {
      fill(said, problem(error));
    }
  }

  const view = h("div", {}, form, said, list);
  view.enter = () => act(async () => {});
  return labelled(view, "aria-label", "tenants");
}

function tenantSection(tenant, act) {
  const path = `${TENANTS}/${tenant.name}`;
  const content = h("div", { class: "stack" });
  const section = h("details", { class: "card" }, h("summary", {}, tenant.name), content);
  section.addEventListener("toggle", () => section.open && load());

  async function load() {
    try {
      const [keys, facedbs] = await Promise.all([call("GET", `${path}/keys`), counted(path)]);
      const drop = h("button", { type: "button", class: "quiet danger", click: dropTenant }, text("drop-tenant"));
      fill(content, facedbsPart(path, facedbs, change), keysPart(path, keys, change), h("div", { class: "row" }, drop));
    } catch (error) {
      fill(content, problem(error));
    }
  }

  async function change(action) {
    try {
      await action();
      await load();
    } catch (error) {
      content.prepend(problem(error));
    }
  }

  async function dropTenant() {
    if (!(await confirmed("drop-tenant", "drop-tenant-explained", "drop", { name: tenant.name }))) return;
    await act(() => call("DELETE", path));
  }

  return section;
}

/** Return the face databases with their counts; without a worker, without. */
async function counted(path) {
  try {
    return await call("GET", `${path}/counted-facedbs`);
  } catch {
    return (await call("GET", `${path}/facedbs`)).map(({ name, ...rest }) => ({ ...rest, facedb: name, persons: null, faces: null }));
  }
}

function facedbsPart(path, facedbs, change) {
  const name = h("input", { autocomplete: "off", required: true, maxlength: 64 });
  const form = h("form", { class: "inline" }, field(text("new-facedb"), name), h("button", {}, text("create")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change(() => call("POST", `${path}/facedbs`, { json: { name: name.value } }));
  });
  const drop = async (facedb) => {
    if (!(await confirmed("drop-facedb", "drop-facedb-explained", "drop", { name: facedb.facedb, count: facedb.persons ?? "?" }))) return;
    await change(() => call("DELETE", `${path}/facedbs/${facedb.facedb}`));
  };
  const rows = facedbs.map((facedb) =>
    row(
      [facedb.facedb, count(facedb.persons), count(facedb.faces)],
      facedb.default ? text("is-default") : h("button", { type: "button", class: "quiet danger", click: () => drop(facedb) }, text("drop")),
    ),
  );
  return part("facedbs", table("facedbs", ["facedb", "persons", "faces", "actions"], h("tbody", {}, rows)), form);
}

function keysPart(path, keys, change) {
  const name = h("input", { autocomplete: "off", required: true, maxlength: 64 });
  const scopes = ["add", "search", "delete"].map((scope) => {
    const box = h("input", { type: "checkbox", checked: true, value: scope });
    return h("label", { class: "check" }, box, h("code", {}, scope));
  });
  const form = h("form", { class: "inline" }, field(text("new-key"), name), scopes, h("button", {}, text("create")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = [...form.querySelectorAll("input:checked")].map((box) => box.value);
    change(async () => {
      const made = await call("POST", `${path}/keys`, { json: { name: name.value, scopes: chosen } });
      await openDialog("key-made", [h("p", {}, text("key-shown-once")), h("pre", {}, h("code", {}, made.key))], [["close", null]]);
    });
  });
  const revoke = async (key) => {
    if (!(await confirmed("revoke", "revoke-explained", "revoke", { name: key.name }))) return;
    await change(() => call("DELETE", `${path}/keys/${key.id}`));
  };
  const rows = keys.map((key) =>
    row(
      [key.name, h("code", {}, key.id), key.scopes.join(", "), key.expires === null ? "" : day(key.expires)],
      h("button", { type: "button", class: "quiet danger", click: () => revoke(key) }, text("revoke")),
    ),
  );
  return part("keys", table("keys", ["name", "key-id", "scopes", "expires", "actions"], h("tbody", {}, rows)), form);
}

function part(title, ...content) {
  return h("section", {}, h("h3", {}, text(title)), content);
}

function row(cells, action) {
  const [first, ...rest] = cells;
  return h("tr", {}, h("th", { scope: "row" }, first), rest.map((cell) => h("td", {}, cell)), h("td", {}, action));
}

/** Return a count, nothing where it is not known. */
function count(value) {
  return value === null ? "" : number(value);
}
