/** Elements without markup: text from outside stays text. */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. `on` has listeners, `style` custom and other properties, `class` classes; true and false set and leave
 * out attributes; everything else is an attribute.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  dress(element, props);
  element.append(...nodes(children));
  return element;
}

/**
 * An element of SVG.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function svg(tag, props = {}, ...children) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  dress(element, props);
  element.append(...nodes(children));
  return element;
}

/**
 * @param {HTMLElement | SVGElement} element
 * @param {Record<string, any>} props
 */
export function dress(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, /** @type {any} */ (listener));
    } else if (name === "style") {
      for (const [property, text] of Object.entries(value)) element.style.setProperty(property, String(text));
    } else if (name === "value" && "value" in element) {
      /** @type {any} */ (element).value = value ?? "";
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
}

/**
 * @param {any[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Puts these in place of all that is in the element.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * Sets the text if it is another one: nothing is laid out anew, no selection is lost.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Puts items in order without moving those that are in place: what has the focus keeps it.
 * @param {Element} list
 * @param {Element[]} items
 */
export function place(list, items) {
  const wanted = new Set(items);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  items.forEach((item, index) => {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
}

/** @type {Record<string, string>} Outlines of 20 x 20. */
const ICONS = {
  camera: "M2.5 6.5h9.5v8h-9.5zM12 9l5.5-2.5v8L12 12",
  events: "M3 4.5h14M3 10h14M3 15.5h9",
  search: "M8.5 3.5a5 5 0 1 0 0 10a5 5 0 0 0 0-10M12.2 12.2l4.3 4.3",
  system: "M3 5.5h8M15 5.5h2M13 3.5v4M3 14.5h2M9 14.5h8M7 12.5v4",
  back: "M11.5 4 5.5 10l6 6M6 10h10.5",
  previous: "M12 4.5 6.5 10l5.5 5.5",
  next: "M8 4.5 13.5 10 8 15.5",
  edit: "M4 16l.8-3.4L13.4 4l2.6 2.6-8.6 8.6z",
  remove: "M4 6h12M8 6V4h4v2M5.5 6l.8 10h7.4l.8-10",
  add: "M10 4v12M4 10h12",
  bell: "M5 13.5V9a5 5 0 0 1 10 0v4.5l1.5 1.5h-13zM8.5 17h3",
  theme: "M10 3a7 7 0 1 0 7 7A5.5 5.5 0 0 1 10 3z",
  help: "M7.5 7.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8M10 14.5v.6",
  undo: "M7 5 3.5 8.5 7 12M4 8.5h8a4 4 0 0 1 0 8h-3",
  keep: "M6 3.5h8v13l-4-3-4 3z",
  link: "M8.5 11.5l3-3M7 9l-2 2a2.8 2.8 0 0 0 4 4l2-2M9 7l2-2a2.8 2.8 0 0 1 4 4l-2 2",
  full: "M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4",
  zone: "M4 5l11-1 1.5 9L9 17l-6-4z",
  line: "M4 16 16 4M13 12l3 1-1 3",
  warning: "M10 3.5 17.5 16h-15zM10 8.5v3.5M10 14v.4",
  close: "M5 5l10 10M15 5 5 15",
  logout: "M8 4H4v12h4M8 10h9M14 7l3 3-3 3",
  boxes: "M3.5 6V3.5H6M14 3.5h2.5V6M16.5 14v2.5H14M6 16.5H3.5V14M7 7h6v6H7z",
};

/**
 * A small picture that says nothing by itself.
 * @param {string} name
 */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: ICONS[name] }),
  );
}

/**
 * A button with a picture and a name; the name is seen if `props.wide` is true.
 * @param {string} picture
 * @param {string} name
 * @param {() => void} press
 * @param {Record<string, any>} [props]
 */
export function iconButton(picture, name, press, props = {}) {
  const { wide = false, ...rest } = props;
  const given = { type: "button", class: wide ? "button" : "button bare", on: { click: press }, ...rest };
  if (wide) return h("button", given, icon(picture), name);
  return h("button", { title: name, ...given, "aria-label": name }, icon(picture));
}

/** What must be undone when a part of the page goes. */
export class Scope {
  /** @type {(() => void)[]} */
  #undo = [];
  closed = false;

  /** @param {() => void} undo */
  add(undo) {
    if (this.closed) undo();
    else this.#undo.push(undo);
  }

  /**
   * @param {EventTarget} target
   * @param {string} type
   * @param {(event: any) => void} listener
   * @param {AddEventListenerOptions} [options]
   */
  on(target, type, listener, options) {
    target.addEventListener(type, listener, options);
    this.add(() => target.removeEventListener(type, listener, options));
  }

  /**
   * @param {number} milliseconds
   * @param {() => void} work
   */
  every(milliseconds, work) {
    const timer = setInterval(work, milliseconds);
    this.add(() => clearInterval(timer));
  }

  close() {
    this.closed = true;
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }
}

/**
 * A dialog over the page; it is gone when it is closed.
 * @param {string} title
 * @param {(dialog: HTMLDialogElement) => Child | Child[]} content
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, content) {
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" });
  const back = document.activeElement;
  dialog.append(h("h2", { id: "dialog-title" }, title), ...nodes([content(dialog)]));
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (back instanceof HTMLElement && back.isConnected) back.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks before something is done that cannot be undone.
 * @param {string} question
 * @param {string} yes
 * @param {string} no
 * @returns {Promise<boolean>}
 */
export function confirmed(question, yes, no) {
  return new Promise((resolve) => {
    let answer = false;
    const dialog = openDialog(question, (dialog) => {
      const done = (/** @type {boolean} */ value) => () => {
        answer = value;
        dialog.close();
      };
      return h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "button", on: { click: done(false) } }, no),
        h("button", { type: "button", class: "button danger", on: { click: done(true) } }, yes),
      );
    });
    dialog.addEventListener("close", () => resolve(answer));
  });
}
