/** Asks for a token. */

import { ApiError } from "./api.js";
import { fill, h } from "./dom.js";
import { field, wordsOfError } from "./prompt.js";
import { t } from "./strings.js";
import { logIn } from "./world.js";

/** @param {HTMLElement} main */
export function loginView(main) {
  document.title = `${t("login.title")} · ${t("app.name")}`;
  const token = field(t("login.token"), h("input", { id: "token", type: "password", autocomplete: "current-password", maxlength: 500, required: true }));
  const go = h("button", { type: "submit", class: "button primary" }, t("login.go"));
  const form = h(
    "form",
    { class: "card login stack", novalidate: true },
    h("h1", { id: "title", tabindex: -1 }, t("login.title")),
    h("p", {}, t("login.text")),
    // For those who keep passwords: they want to know whose.
    h("input", { type: "text", autocomplete: "username", value: t("app.name"), hidden: true, "aria-hidden": "true", tabindex: -1 }),
    token.element,
    h("div", { class: "row end" }, go),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (token.input.value.trim() === "") return token.input.focus();
    go.disabled = true;
    try {
      await logIn(token.input.value.trim());
    } catch (error) {
      const known = error instanceof ApiError && (error.status === 401 || error.status === 403);
      token.say(known ? t("login.wrong") : wordsOfError(error, ""));
      token.input.focus();
    } finally {
      go.disabled = false;
    }
  });
  fill(main, form);
  token.input.focus();
  return { keys: () => false };
}
