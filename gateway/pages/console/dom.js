// Elements, made and found.

/**
 * Return a new element. attributes: a function is a listener for the event of its name, true is an attribute without
 * value, false and null leave it out. children: elements and texts; null and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return the element of that id, which the page has. */
export function byId(id) {
  return document.getElementById(id);
}

let numbered = 0;

/** Return an id that no other element has. */
export function newId(prefix = "e") {
  numbered += 1;
  return `${prefix}-${numbered}`;
}

/** Return a labelled field of a form. label: an element or a text. */
export function field(label, input, hint = null) {
  input.id ||= newId("field");
  if (hint !== null) {
    const id = newId("hint");
    input.setAttribute("aria-describedby", id);
    hint = h("small", { id }, hint);
  }
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input, hint);
}
