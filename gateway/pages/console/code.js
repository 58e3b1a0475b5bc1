// The same action as a program, folded away: what to send with curl, Python and JavaScript.
import { h, fill, newId } from "./dom.js";
import { labelled, text } from "./i18n.js";
import { asCurl, asJavaScript, asPython } from "./languages.js";
import { announce } from "./problems.js";

/** Return the programs for one call. request: as languages.js has it. */
export function programs(request) {
  return folded({ curl: asCurl(request), Python: asPython(request), JavaScript: asJavaScript(request) });
}

/** Return programs, folded away. texts: each by the name of its language. title: a key of the catalogue. */
export function folded(texts, title = "as-program") {
  const code = h("code", {});
  const shown = h("pre", { id: newId("program"), tabindex: "0" }, code);
  const tabs = Object.keys(texts).map((name) => h("button", { type: "button", class: "quiet", click: () => choose(name) }, name));
  const copy = h("button", { type: "button", class: "quiet", click: () => copied(code.textContent) }, text("copy"));
  labelled(shown, "aria-label", title);

  function choose(name) {
    fill(code, texts[name]);
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === name));
  }

  choose("curl");
  return h(
    "details",
    { class: "programs" },
    h("summary", {}, text(title)),
    h("div", { class: "row" }, tabs, copy),
    shown,
  );
}

async function copied(program) {
  try {
    await navigator.clipboard.writeText(program);
    announce("copied");
  } catch {
    announce("not-copied"); // browsers give pages of plain HTTP from other machines no clipboard
  }
}
