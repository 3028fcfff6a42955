// A connection with a bank: what the page says of a refresh is kept up to date. Without this file, "Look again" does the same.
"use strict";

document.documentElement.classList.add("scripted");
const state = document.getElementById("state");

if (state && state.dataset.events && window.EventSource) {
  const source = new EventSource(state.dataset.events);
  source.addEventListener("state", (event) => {
    const held = state.contains(document.activeElement) && document.activeElement.id;
    state.innerHTML = JSON.parse(event.data); // written by our own templates
    const again = held && document.getElementById(held);
    if (again) again.focus();
  });
  source.addEventListener("end", () => { source.close(); location.reload(); });
}
