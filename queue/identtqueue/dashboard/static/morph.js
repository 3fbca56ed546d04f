// Changes what is shown into what it should be, element by element: focus, selection and what was
// unfolded stay.

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE && node.id ? node.id : "";
}

function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
}

function morphAttributes(from, to) {
  const kept = from.tagName === "DETAILS" ? "open" : "";
  for (const { name } of [...from.attributes]) {
    if (name !== kept && !to.hasAttribute(name)) from.removeAttribute(name);
  }
  for (const { name, value } of [...to.attributes]) {
    if (name !== kept && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
}

function morph(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.hasAttribute("data-still")) return; // such as what a script draws
  const isMoment = from.tagName === "TIME" && from.dataset.ms === to.dataset.ms;
  if (isMoment) return; // its text is how long ago it is
  morphAttributes(from, to);
  morphChildren(from, to);
}

function morphChildren(from, to) {
  const byKey = new Map();
  for (const child of from.children) if (child.id) byKey.set(child.id, child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = keyOf(wanted);
    let found = key ? byKey.get(key) : at;
    if (found && !same(found, wanted)) found = null;
    if (!found) {
      from.insertBefore(wanted, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else from.insertBefore(found, at);
    morph(found, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

export function morphInto(element, html) {
  morphChildren(element, parse(html));
}

export function morphSelf(element, html) {
  const wanted = parse(html).firstElementChild;
  if (wanted && wanted.tagName === element.tagName) morph(element, wanted);
}
