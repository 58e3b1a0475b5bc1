// What this tab knows: whether it has a key that works, the face databases and which of them is used. Nothing of it is
// stored. Listeners hear "change".
import { ApiError, call, useKey } from "./api.js";

class Session extends EventTarget {
  isOpen = false;
  facedb = null;
  facedbs = [];

  /** Use a key. Throws ApiError if the service does not take it. */
  async open(key) {
    useKey(key);
    await this.refresh();
    this.isOpen = true;
    this.#changed();
  }

  /** Ask for the face databases and their counts. A key that may not search knows none of them. */
  async refresh() {
    try {
      this.facedbs = await call("GET", "v1/facedbs");
    } catch (error) {
      if (!(error instanceof ApiError) || error.http !== 403) throw error;
      this.facedbs = [];
    }
    if (!this.facedbs.some((known) => known.facedb === this.facedb)) {
      this.facedb = this.facedbs.find((known) => known.default)?.facedb ?? null;
    }
    this.#changed();
  }

  /** Use another face database. */
  use(facedb) {
    this.facedb = facedb;
    this.#changed();
  }

  /** Forget the key. */
  close() {
    useKey("");
    this.isOpen = false;
    this.facedbs = [];
    this.facedb = null;
    this.#changed();
  }

  /** The number of persons a search compares with; null if it is not known. */
  get size() {
    return this.facedbs.find((known) => known.facedb === this.facedb)?.persons ?? null;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const session = new Session();
