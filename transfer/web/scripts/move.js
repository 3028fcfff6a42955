// A move under way: what the page says of it is kept up to date. Without this file, "Look again" does the same.
"use strict";

document.documentElement.classList.add("scripted");
const state = document.getElementById("state");
const spoken = document.getElementById("spoken");

if (state && state.dataset.events && window.EventSource) {
  const source = new EventSource(state.dataset.events);
  source.addEventListener("state", (event) => {
    const held = state.contains(document.activeElement) && document.activeElement.id;
    state.innerHTML = JSON.parse(event.data); // written by our own templates
    const again = held && document.getElementById(held);
    if (again) again.focus();
  });
  source.addEventListener("step", (event) => { spoken.textContent = JSON.parse(event.data); });
  source.addEventListener("end", () => { source.close(); location.reload(); });
}
