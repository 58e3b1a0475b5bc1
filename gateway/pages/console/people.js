// The view that lists persons.
import { call } from "./api.js";
import { avatar } from "./avatar.js";
import { folded, programs } from "./code.js";
import { field, fill, h } from "./dom.js";
import { COLUMNS, exportPersons } from "./export.js";
import { labelled, number, text, time } from "./i18n.js";
import { onPersonChange, openPerson } from "./person.js";
import { problem } from "./problems.js";
import { exportPrograms } from "./scripts.js";
import { session } from "./session.js";
import { table } from "./table.js";

const PAGE = 100;

/** Return the view. Its method `enter()` lists anew. */
export function peopleView() {
  const name = h("input", { type: "search", autocomplete: "off" });
  const externalId = h("input", { type: "search", autocomplete: "off" });
  const rows = h("tbody", {});
  const said = h("div", { role: "status" });
  const shown = h("div", {});
  const more = h("button", { type: "button", class: "quiet", hidden: true, click: () => load() }, text("more"));
  const saving = h("button", { type: "button", class: "quiet", click: () => exportPersons(filters(), said) }, text("export"));
  const form = h(
    "form",
    { class: "inline", role: "search" },
    field(text("name"), name),
    field(text("external-id"), externalId),
    h("button", {}, text("filter")),
    saving,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enter();
  });
  let next = null;
  let listing = 0;

  function filters() {
    return { facedb: session.facedb, name: name.value || null, external_id: externalId.value || null };
  }

  async function enter() {
    next = null;
    listing += 1;
    const asked = filters();
    const request = { method: "GET", path: "v1/persons", query: { ...asked, limit: PAGE } };
    fill(shown, programs(request), folded(() => exportPrograms(asked, COLUMNS), "export-as-program"));
    fill(rows);
    fill(said, session.size === null ? null : text("persons-count", { count: session.size }));
    await load();
  }

  async function load() {
    const ours = listing;
    more.disabled = true;
    try {
      const page = await call("GET", "v1/persons", { query: { ...filters(), limit: PAGE, after: next } });
      if (ours !== listing) return; // another listing began meanwhile
      next = page.next;
      rows.append(...page.persons.map(row));
      more.hidden = next === null;
      if (rows.children.length === 0) fill(said, text("nobody-listed"));
    } catch (error) {
      fill(said, problem(error, enter));
    } finally {
      more.disabled = false;
    }
  }

  onPersonChange((personId, person) => {
    const old = [...rows.children].find((each) => each.dataset.person === personId);
    if (old === undefined) return;
    if (person === null) old.remove();
    else old.replaceWith(row(person));
  });

  const listed = table("people", ["name", "external-id", "faces", "added-at", "details"], rows);
  const view = h("div", {}, form, h("div", { class: "under" }, said, text("export-hint", {}, "small")), listed, more, shown);
  view.enter = enter;
  return labelled(view, "aria-label", "people");
}

function row(person) {
  const open = h("button", { type: "button", class: "quiet", click: () => openPerson(person.person_id) }, text("details"));
  return h(
    "tr",
    { "data-person": person.person_id },
    h("th", { scope: "row" }, h("span", { class: "person" }, avatar(person.person_id, person.name), person.name)),
    h("td", {}, person.external_id ?? ""),
    h("td", {}, number(person.faces)),
    h("td", {}, person.added === null ? "" : time(person.added)),
    h("td", {}, open),
  );
}
