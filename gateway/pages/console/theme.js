// Light or dark: as the system has it, or as was chosen.

const KEPT = "facesearch-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

/** Show the page in the theme that was chosen last. Returns its name. */
export function useTheme(name = localStorage.getItem(KEPT) ?? "system") {
  const theme = name in NEXT ? name : "system";
  localStorage.setItem(KEPT, theme);
  if (theme === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
  return theme;
}

/** Return the theme after this one. */
export function nextTheme(name) {
  return NEXT[name];
}
