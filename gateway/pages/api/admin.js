// The page of the admin API. Its document needs the admin key, which stays in this tab's memory.
import { show } from "./swagger.js";

const form = document.getElementById("key");

form.hidden = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  form.hidden = await show({ "X-Admin-Key": document.getElementById("admin-key").value });
});
