// Whether the service answers. Calls notice that it does not; then this asks again until it does.
const EVERY_MS = 2000;

/** A file of the page, for which no key is needed. */
const ASKED = "console/icon.svg";

class Connection extends EventTarget {
  isLost = false;

  /** Say that a call got no answer. Listeners hear "change", and once more when the service answers again. */
  lose() {
    if (this.isLost) return;
    this.#become(true);
    this.#ask();
  }

  async #ask() {
    while (this.isLost) {
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      try {
        const answer = await fetch(ASKED, { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
        if (answer.ok) this.#become(false);
      } catch {
        // not yet
      }
    }
  }

  #become(isLost) {
    this.isLost = isLost;
    this.dispatchEvent(new Event("change"));
  }
}

export const connection = new Connection();
