// Elements. Text of files and of the service becomes text nodes only, never HTML.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function button(text, action, properties = {}) {
  const made = element("button", { type: "button", ...properties }, text);
  made.addEventListener("click", action);
  return made;
}

let sliders = 0;

// A range input with its value as text; `change` hears each movement, `settled` the last one.
export function slider({ label, min, max, step, value, text, change, settled }) {
  sliders += 1;
  const id = `slider-${sliders}`;
  const input = element("input", { type: "range", id, min, max, step, value });
  const shown = element("output", { htmlFor: id }, text(value));
  const set = (next) => {
    input.value = next;
    shown.textContent = text(Number(input.value));
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  set(value);
  input.addEventListener("input", () => { set(Number(input.value)); change(Number(input.value)); });
  if (settled) input.addEventListener("change", () => settled(Number(input.value)));
  const made = element("div", { className: "slider" }, element("label", { htmlFor: id }, label), shown, input);
  return { element: made, input, set };
}

// Tells a screen reader what has happened elsewhere on the page.
export function say(text) {
  document.getElementById("said").textContent = text;
}

export const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

export function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
