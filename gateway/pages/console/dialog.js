// Dialogs: questions that must be answered before anything else.
import { h, newId } from "./dom.js";
import { text } from "./i18n.js";

/**
 * Ask in a dialog and return the answer: the value of the button, null when it is closed otherwise. title: a key of the
 * catalogue. buttons: [key, value] or [key, value, class], the last one is the first choice. onOpen: gets the function
 * that closes it with an answer.
 */
export function openDialog(title, content, buttons, { given = {}, wide = false, onOpen = () => {} } = {}) {
  const id = newId("dialog");
  return new Promise((resolve) => {
    let chosen = null;
    const choose = (value) => {
      chosen = value;
      dialog.close();
    };
    const made = buttons.map(([key, value, kind = null]) =>
      h("button", { type: "button", class: kind ?? (value === null ? "quiet" : null), click: () => choose(value) }, text(key)),
    );
    const dialog = h(
      "dialog",
      { "aria-labelledby": id, class: wide ? "wide" : null },
      h("h2", { id }, text(title, given)),
      h("div", { class: "dialog-content" }, content),
      h("div", { class: "row end" }, made),
    );
    const opener = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (opener?.isConnected) opener.focus();
      resolve(chosen);
    });
    document.body.append(dialog);
    dialog.showModal();
    onOpen(choose);
  });
}

/**
 * Ask whether to do something that cannot be undone. action: the key of the button. more: what is shown under the
 * explanation.
 */
export async function confirmed(title, explanation, action, given = {}, more = null) {
  const said = h("p", {}, text(explanation, given));
  return (await openDialog(title, [said, more], [["cancel", null], [action, true, "danger"]], { given })) === true;
}
