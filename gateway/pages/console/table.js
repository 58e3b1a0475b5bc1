// Tables.
import { h } from "./dom.js";
import { labelled, text } from "./i18n.js";

/** Return a table that can be scrolled sideways, with the keyboard too. title, columns: keys of the catalogue. body: the rows. */
export function table(title, columns, body) {
  const head = h("thead", {}, h("tr", {}, columns.map((key) => h("th", { scope: "col" }, text(key)))));
  const scrolled = h("div", { class: "table", "data-table": title, role: "group", tabindex: "0" }, h("table", {}, head, body));
  return labelled(scrolled, "aria-label", title);
}

/** Return a row of cells; the first one names it. */
export function row([first, ...rest]) {
  return h("tr", {}, h("th", { scope: "row" }, first), rest.map((cell) => h("td", {}, cell)));
}
