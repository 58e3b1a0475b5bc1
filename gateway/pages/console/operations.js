// The console for operators, on the port of the admin API.
import { call, useKey } from "./api.js";
import { startConsole } from "./frame.js";
import { serviceView } from "./service.js";
import { tenantsView } from "./tenants.js";
import { usageView } from "./usage.js";

class AdminSession extends EventTarget {
  isOpen = false;

  /** Use an admin key. Throws ApiError if the service does not take it. */
  async open(key) {
    useKey(key, "X-Admin-Key");
    await call("GET", "admin/v1/tenants");
    this.isOpen = true;
    this.dispatchEvent(new Event("change"));
  }

  /** Forget the key. */
  close() {
    useKey("", "X-Admin-Key");
    this.isOpen = false;
    this.dispatchEvent(new Event("change"));
  }
}

await startConsole({ service: serviceView, tenants: tenantsView, usage: usageView }, new AdminSession(), { api: "admin-" });
