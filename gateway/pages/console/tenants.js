// The view of tenants: their keys and face databases, made and removed.
import { call } from "./api.js";
import { programs } from "./code.js";
import { confirmed } from "./dialog.js";
import { field, fill, h } from "./dom.js";
import { labelled, text } from "./i18n.js";
import { problem } from "./problems.js";
import { facedbsPart } from "./tenant_facedbs.js";
import { keysPart } from "./tenant_keys.js";

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

  /** Do something, say what went wrong, and list again: tenants that are open stay so. */
  async function act(action) {
    fill(said);
    try {
      await action();
      const tenants = await call("GET", TENANTS);
      const open = new Set([...list.children].filter((section) => section.open).map((section) => section.dataset.tenant));
      fill(list, tenants.map((tenant) => tenantSection(tenant, open.has(tenant.name), act)));
    } catch (error) {
      fill(said, problem(error));
    }
  }

  const create = programs(() => ({ method: "POST", path: TENANTS, json: { name: name.value } }), { form });
  const view = h("div", {}, form, create, said, list, programs({ method: "GET", path: TENANTS }, { title: "tenants-as-program" }));
  view.enter = () => act(async () => {});
  return labelled(view, "aria-label", "tenants");
}

function tenantSection(tenant, open, act) {
  const path = `${TENANTS}/${tenant.name}`;
  const content = h("div", { class: "stack" });
  const section = h("details", { class: "card", open, "data-tenant": tenant.name }, h("summary", {}, tenant.name), content);
  section.addEventListener("toggle", () => section.open && load());

  async function load() {
    try {
      const made = await Promise.all([facedbsPart(path, change), keysPart(path, change)]);
      const drop = h("button", { type: "button", class: "quiet danger", click: dropTenant }, text("drop-tenant"));
      fill(content, made, h("div", { class: "row" }, drop));
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
    const shown = programs({ method: "DELETE", path });
    if (!(await confirmed("drop-tenant", "drop-tenant-explained", "drop", { name: tenant.name }, shown))) return;
    await act(() => call("DELETE", path));
  }

  return section;
}
