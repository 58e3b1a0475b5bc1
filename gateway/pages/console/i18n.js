// The texts of the page in the language of the reader. Each language is one catalogue: en.json, zh.json.

export const LANGUAGES = { en: "English", zh: "中文" };

const KEPT = "facesearch-language";

const values = new WeakMap();
let language = "en";
let catalogue = {};

/** Load the catalogue of a language, and show it in everything that is in the page already. */
export async function useLanguage(wanted) {
  const answer = await fetch(`console/${wanted}.json`);
  catalogue = await answer.json();
  language = wanted;
  localStorage.setItem(KEPT, wanted);
  document.documentElement.lang = wanted === "zh" ? "zh-Hans" : wanted;
  document.title = say("title");
  retranslate(document.body);
}

/** Return the language that was chosen last, or else the browser's. */
export function preferredLanguage() {
  const wanted = localStorage.getItem(KEPT) ?? navigator.language.split("-")[0];
  return wanted in LANGUAGES ? wanted : "en";
}

/** Return a number in the form of the language, with at most that many decimals. */
export function number(value, decimals = 3) {
  return value.toLocaleString(locale(), { maximumFractionDigits: decimals });
}

/** Return a time in the form of the language and in the zone of the browser. value: as in an answer of the API. */
export function time(value) {
  return new Date(value).toLocaleString(locale());
}

/** Return the day of a time, likewise. */
export function day(value) {
  return new Date(value).toLocaleDateString(locale());
}

function locale() {
  return language === "zh" ? "zh-CN" : "en-GB";
}

/** Return a text of the catalogue, with its {values} filled in. */
export function say(key, given = {}) {
  const text = catalogue[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in given ? shown(given[name]) : whole));
}

/** Return whether the catalogue has a text. */
export function hasText(key) {
  return key in catalogue;
}

/** Return an element with a text, which follows a change of the language. */
export function text(key, given = {}, tag = "span") {
  const element = document.createElement(tag);
  element.dataset.text = key;
  values.set(element, given);
  put(element, say(key, given));
  return element;
}

/** Give an element an attribute, such as aria-label, which follows a change of the language. */
export function labelled(element, attribute, key, given = {}) {
  element.dataset.label = `${attribute} ${key}`;
  values.set(element, given);
  element.setAttribute(attribute, say(key, given));
  return element;
}

/** Show the language of the reader in an element that was not in the page when it was chosen. */
export function retranslate(root) {
  for (const element of root.querySelectorAll("[data-text]")) {
    put(element, say(element.dataset.text, values.get(element)));
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    const [attribute, key] = element.dataset.label.split(" ");
    element.setAttribute(attribute, say(key, values.get(element)));
  }
}

/** Put a text into an element; what is between backticks is code. */
function put(element, whole) {
  const parts = whole.split("`").map((part, place) => {
    if (place % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
  element.replaceChildren(...parts);
}

function shown(value) {
  return typeof value === "number" ? number(value) : String(value);
}
