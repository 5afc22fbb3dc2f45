// Light or dark: the system's choice until the button is pressed, then remembered where that is allowed.

const KEY = "anyorder-theme";

/** @param {HTMLElement} button */
export function themes(button) {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const tell = () =>
    button.setAttribute("aria-label", now() === "dark" ? "Switch to light" : "Switch to dark");
  const kept = remembered(null);
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  button.addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    remembered(root.dataset.theme);
    tell();
  });
  dark.addEventListener("change", tell);
  tell();
}

/** Keep a value, or with null look what was kept. @param {string|null} value */
function remembered(value) {
  try {
    if (value !== null) localStorage.setItem(KEY, value);
    return localStorage.getItem(KEY);
  } catch {
    return null; // a browser that keeps nothing for this page
  }
}
