const squeeze = (text) => (text || "").replace(/\s+/g, " ").trim();
const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== "hidden";

// nameOf is what a screen reader calls an element, near enough for pages like ours.
function nameOf(e) {
  if (e.getAttribute("aria-label")) return squeeze(e.getAttribute("aria-label"));
  const by = e.getAttribute("aria-labelledby");
  if (by) return squeeze(by.split(/\s+/).map((id) => (document.getElementById(id) || {}).textContent).join(" "));
  if (e.labels && e.labels.length) return squeeze([...e.labels].map((l) => l.textContent).join(" "));
  if (e.tagName === "A" || e.tagName === "BUTTON" || e.tagName === "SUMMARY") {
    const image = e.querySelector("img[alt]");
    return squeeze(e.textContent) || (image ? squeeze(image.alt) : "");
  }
  return squeeze(e.getAttribute("placeholder") || e.getAttribute("title") || e.name);
}

const kinds = {
  click: "a[href], button, summary, input[type=checkbox], input[type=radio], input[type=submit]",
  fill: "input:not([type=checkbox], [type=radio], [type=hidden], [type=submit]), textarea",
  select: "select",
};

// one finds the element of that name: exactly so, or else the one that begins so.
function one(kind, name) {
  const all = [...document.querySelectorAll(kinds[kind])].filter((e) => shown(e) && !e.disabled && e.getAttribute("aria-hidden") !== "true");
  let hits = all.filter((e) => nameOf(e) === name);
  if (!hits.length) hits = all.filter((e) => nameOf(e).startsWith(name));
  if (hits.length === 1) return { element: hits[0] };
  const names = all.map((e) => JSON.stringify(nameOf(e))).join(", ");
  return { fault: hits.length ? `${hits.length} things to ${kind} are called ${JSON.stringify(name)}` : `nothing to ${kind} is called ${JSON.stringify(name)}; there are ${names}` };
}

function find(kind, name) {
  const { element: e, fault } = one(kind, name);
  if (fault) return { Fault: fault };
  e.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
  const box = [...e.getClientRects()].find((r) => r.width > 0 && r.height > 0) || e.getBoundingClientRect();
  const x = box.left + box.width / 2, y = box.top + box.height / 2;
  const hit = document.elementFromPoint(x, y);
  const mine = hit && (e.contains(hit) || hit.contains(e) && hit.tagName === "LABEL");
  if (!mine) return { Fault: `${JSON.stringify(name)} is covered by ${hit ? hit.outerHTML.slice(0, 200) : "nothing: it is outside of the window"}` };
  const leads = e.tagName === "A" && !(e.getAttribute("href") || "").startsWith("#") || e.type === "submit" || "ask" in e.dataset;
  return { X: x, Y: y, Leads: leads, Value: e.value || "", Ticked: !!e.checked, Date: e.type === "date" };
}

function set(name, value) {
  const { element: e } = one("fill", name);
  e.value = value;
  e.dispatchEvent(new Event("input", { bubbles: true }));
  e.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}

function selectAll(name) { one("fill", name).element.select(); return true; }

function choose(name, option) {
  const { element: e, fault } = one("select", name);
  if (fault) return fault;
  const o = [...e.options].find((o) => squeeze(o.textContent) === option) || [...e.options].find((o) => squeeze(o.textContent).startsWith(option));
  if (!o) return `${JSON.stringify(name)} has no ${JSON.stringify(option)}; there are ${[...e.options].map((o) => squeeze(o.textContent)).join(", ")}`;
  e.value = o.value;
  e.dispatchEvent(new Event("change", { bubbles: true }));
  return "";
}

const text = () => (document.body ? document.body.innerText.replace(/\u00a0|\u202f/g, " ") : "");
const address = () => location.href;
const title = () => document.title;
const language = () => document.documentElement.lang;
const mark = () => (window.wasHere = true);
const back = () => { history.back(); return true; };
const state = () => (window.wasHere ? "same" : document.readyState === "complete" && location.href !== "about:blank" ? "here" : "coming");

function focused() {
  const e = document.activeElement;
  return e && e !== document.body ? nameOf(e) : "";
}

// overflowing lists what sticks out of the window sideways, scrolling boxes apart.
function overflowing() {
  const width = document.documentElement.clientWidth;
  const inBox = (e) => { for (let p = e; p; p = p.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(p).overflowX) && p !== document.documentElement && p !== document.body) return true; return false; };
  const off = (e) => /absolute|fixed/.test(getComputedStyle(e).position) && e.getBoundingClientRect().right <= 0;
  return [...document.body.querySelectorAll("*")].filter((e) => shown(e) && e.getBoundingClientRect().right > width + 0.5 && !inBox(e) && !off(e)).map((e) => e.outerHTML.slice(0, 160)).slice(0, 5);
}

// small lists what is hard to hit: less than 24 pixels high or wide, links within text apart (WCAG 2.2, 2.5.8).
function small() {
  const inline = (e) => e.tagName === "A" && getComputedStyle(e).display === "inline";
  return [...document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), select")]
    .filter((e) => shown(e) && e.getAttribute("aria-hidden") !== "true" && !inline(e) && !e.closest(".skip"))
    .filter((e) => { const r = e.getBoundingClientRect(); const l = e.labels && e.labels[0] && e.labels[0].contains(e) ? e.labels[0].getBoundingClientRect() : r; return Math.max(r.height, l.height) < 24 || Math.max(r.width, l.width) < 24; })
    .map((e) => `${nameOf(e)}: ${e.outerHTML.slice(0, 120)}`);
}
