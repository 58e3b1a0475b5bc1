// The same action as a program, folded away: what to send with curl, Python and JavaScript.
import { h, fill, newId } from "./dom.js";
import { labelled, text } from "./i18n.js";
import { asCurl, asJavaScript, asPython } from "./languages.js";
import { announce } from "./problems.js";

/**
 * Return the programs for one call. request: as languages.js has it, or a function that returns it. form: with it the
 * call changes. title: a key of the catalogue.
 */
export function programs(request, { form = null, title = "as-program" } = {}) {
  const shown = folded(() => {
    const asked = typeof request === "function" ? request() : request;
    return { curl: asCurl(asked), Python: asPython(asked), JavaScript: asJavaScript(asked) };
  }, title);
  form?.addEventListener("input", shown.renew);
  return shown;
}

/**
 * Return programs, folded away. make: returns each by the name of its language. title: a key of the catalogue. Its method
 * `renew()` shows what `make` returns now.
 */
export function folded(make, title) {
  const code = h("code", {});
  const shown = h("pre", { id: newId("program"), tabindex: "0" }, code);
  const tabs = Object.keys(make()).map((name) => h("button", { type: "button", class: "quiet", click: () => choose(name) }, name));
  const copy = h("button", { type: "button", class: "quiet", click: () => copied(code.textContent) }, text("copy"));
  labelled(shown, "aria-label", title);

  let chosen = "curl";

  function choose(name) {
    chosen = name;
    fill(code, make()[name]);
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === name));
  }

  choose(chosen);
  const root = h(
    "details",
    { class: "programs" },
    h("summary", {}, text(title)),
    h("div", { class: "row" }, tabs, copy),
    shown,
  );
  root.renew = () => choose(chosen);
  return root;
}

async function copied(program) {
  try {
    await navigator.clipboard.writeText(program);
    announce("copied");
  } catch {
    announce("not-copied"); // browsers give pages of plain HTTP from other machines no clipboard
  }
}
