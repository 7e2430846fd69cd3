// Elements made of text and attributes: what the box or a file name says is never taken for markup.

const SVG = "http://www.w3.org/2000/svg";

// el("p", {class: "quiet", onclick: f, hidden: true}, "text", child, [more]) -> HTMLElement
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export const find = (selector, within = document) => within.querySelector(selector);

// Put a text into a live region only if it is another one: screen readers repeat what is set again.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}
