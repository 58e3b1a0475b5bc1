// What both consoles have around their views: the key, the navigation, the language and the theme.
import { connection } from "./connection.js";
import { byId, fill, h } from "./dom.js";
import { labelled, LANGUAGES, preferredLanguage, retranslate, text, useLanguage } from "./i18n.js";
import { problem } from "./problems.js";
import { nextTheme, useTheme } from "./theme.js";

/** How long it is said that the service answers again. */
const SAID_MS = 10_000;

/**
 * Start a console. makers: for each view a function that returns it; one with a method `enter()` is told each time it is
 * shown. session: has `isOpen`, `open(key)`, `close()`, and tells "change". api: begins the keys of the texts about the key
 * and its API. controls: further elements of the header. Returns a function that makes all views anew.
 */
export async function startConsole(makers, session, { api = "", controls = [], onClose = () => {} } = {}) {
  const views = new Map();
  byId("controls").append(...controls);
  await useLanguage(preferredLanguage());
  const forget = h("button", { type: "button", class: "quiet", hidden: true, click: () => session.close() }, text("forget-key"));
  byId("controls").append(languageChoice(), themeButton(), forget);
  byId("navigation").append(...Object.keys(makers).map((name) => h("a", { href: `#${name}` }, text(name))));
  for (const id of ["key-title", "key-label", "key-hint", "api-page"]) fill(byId(id), text(`${api}${id}`));
  keyForm(session);
  connection.addEventListener("change", () => {
    tellOf(connection);
    if (!connection.isLost) byId("view").lastElementChild?.enter?.();
  });
  session.addEventListener("change", () => {
    forget.hidden = !session.isOpen;
    if (!session.isOpen) {
      views.clear();
      onClose();
    }
    if (session.isOpen !== byId("gate").hidden) show();
  });
  window.addEventListener("hashchange", show);
  show();

  function show() {
    byId("gate").hidden = session.isOpen;
    byId("navigation").hidden = !session.isOpen;
    if (!session.isOpen) {
      fill(byId("view"));
      byId("key").focus();
      return;
    }
    const named = location.hash.slice(1);
    const name = Object.hasOwn(makers, named) ? named : Object.keys(makers)[0];
    for (const link of byId("navigation").children) {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!views.has(name)) views.set(name, makers[name]());
    retranslate(views.get(name));
    const heading = h("h2", { tabindex: "-1" }, text(name));
    fill(byId("view"), heading, views.get(name));
    heading.focus({ preventScroll: true });
    views.get(name).enter?.();
  }

  return () => {
    views.clear();
    show();
  };
}

/** Say whether the service answers: that it does again for some seconds. */
function tellOf({ isLost }) {
  const place = byId("connection");
  const said = text(isLost ? "connection-lost" : "connection-found", {}, "p");
  said.className = isLost ? "problem" : "well";
  fill(place, said);
  if (!isLost) setTimeout(() => said.remove(), SAID_MS);
}

function languageChoice() {
  const choice = h("select", {}, Object.entries(LANGUAGES).map(([value, name]) => h("option", { value }, name)));
  choice.value = preferredLanguage();
  choice.addEventListener("change", () => useLanguage(choice.value));
  return labelled(choice, "aria-label", "language");
}

function themeButton() {
  let theme = useTheme();
  const button = h("button", { type: "button", class: "quiet" }, text(`theme-${theme}`));
  button.addEventListener("click", () => {
    theme = useTheme(nextTheme(theme));
    fill(button, text(`theme-${theme}`));
  });
  return button;
}

function keyForm(session) {
  const input = byId("key");
  byId("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(byId("key-said"));
    try {
      await session.open(input.value.trim());
      input.value = "";
    } catch (error) {
      fill(byId("key-said"), problem(error));
    }
  });
}
