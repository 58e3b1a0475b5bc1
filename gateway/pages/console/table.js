// Tables.
import { h } from "./dom.js";
import { text } from "./i18n.js";

/** Return a table that can be scrolled sideways. columns: keys of the catalogue. body: the rows, in a tbody. */
export function table(columns, body) {
  const head = h("thead", {}, h("tr", {}, columns.map((key) => h("th", { scope: "col" }, text(key)))));
  return h("div", { class: "table" }, h("table", {}, head, body));
}
