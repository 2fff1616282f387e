/** Light, dark, or as the system. */

const KEY = "mdetr-theme";
const THEMES = ["auto", "light", "dark"];

/** @param {string} key @returns {string | null} */
export function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} value */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // A browser that keeps nothing: the choice holds until the page goes.
  }
}

export function theme() {
  const set = document.documentElement.dataset.theme ?? "auto";
  return THEMES.includes(set) ? set : "auto";
}

/** @param {string} name */
export function setTheme(name) {
  document.documentElement.dataset.theme = name;
  remember(KEY, name);
  window.dispatchEvent(new Event("theme"));
}

export function nextTheme() {
  setTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
}

document.documentElement.dataset.theme = remembered(KEY) ?? "auto";
