// The API keys of a tenant: made and revoked.
import { call } from "./api.js";
import { programs } from "./code.js";
import { confirmed, openDialog } from "./dialog.js";
import { field, h } from "./dom.js";
import { day, text } from "./i18n.js";
import { row, table } from "./table.js";

const SCOPES = ["add", "search", "delete"];

/**
 * Return the part of a tenant's section. tenant: the path of the tenant. change: does an action and shows the section
 * again. Throws ApiError.
 */
export async function keysPart(tenant, change) {
  const path = `${tenant}/keys`;
  const name = h("input", { autocomplete: "off", required: true, maxlength: 64 });
  const boxes = SCOPES.map((value) => h("input", { type: "checkbox", checked: true, value }));
  const scopes = boxes.map((box) => h("label", { class: "check" }, box, h("code", {}, box.value)));
  const form = h("form", { class: "inline" }, field(text("new-key"), name), h("div", { class: "row" }, scopes), h("button", {}, text("create")));
  const request = () => {
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    return { method: "POST", path, json: { name: name.value, scopes: chosen } };
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change(async () => {
      const made = await call("POST", path, { json: request().json });
      await openDialog("key-made", [h("p", {}, text("key-shown-once")), h("pre", {}, h("code", {}, made.key))], [["close", null]]);
    });
  });

  async function revoke(key) {
    const shown = programs({ method: "DELETE", path: `${path}/${key.id}` });
    if (!(await confirmed("revoke", "revoke-explained", "revoke", { name: key.name }, shown))) return;
    await change(() => call("DELETE", `${path}/${key.id}`));
  }

  const rows = (await call("GET", path)).map((key) => {
    const revoked = h("button", { type: "button", class: "quiet danger", click: () => revoke(key) }, text("revoke"));
    return row([key.name, h("code", {}, key.id), key.scopes.join(", "), key.expires === null ? "" : day(key.expires), revoked]);
  });
  const listed = table("keys", ["name", "key-id", "scopes", "expires", "actions"], h("tbody", {}, rows));
  return h("section", {}, h("h3", {}, text("keys")), listed, form, programs(request, { form }));
}
