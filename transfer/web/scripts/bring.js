// An archive that a person brings: its files go in parts, so that what breaks off goes on where it was. Without this file the
// form sends everything at once.
"use strict";

document.documentElement.classList.add("scripted");
const partSize = 4 << 20;
const form = document.getElementById("bring");
const state = document.getElementById("state");
const spoken = document.getElementById("spoken");
const wait = (seconds) => new Promise((done) => { setTimeout(done, 1000 * seconds); });

// Refused is what the other side does not take, by the word for it.
class Refused extends Error {}

async function ask(method, path, body) {
  for (let tries = 0; ; tries++) {
    try {
      const headers = {"Content-Type": typeof body === "string" ? "application/json" : "application/octet-stream"};
      const answer = await fetch(path, {method, headers, body});
      if (answer.ok) return await answer.json();
      if (answer.status === 401) throw new Refused("over");
      const said = answer.status < 500 && answer.headers.get("Content-Type") === "application/json" ? await answer.json() : {};
      if (said.refuse === "place") return said;
      if (said.refuse && said.refuse !== "other" || tries > 0 && said.refuse) throw new Refused(said.refuse);
    } catch (e) {
      if (e instanceof Refused) throw e; // anything else is the network, which comes back
    }
    document.getElementById("trouble").textContent = form.dataset.lost;
    document.getElementById("trouble").hidden = tries < 2;
    await wait(Math.min(30, 1 << tries));
  }
}

async function send() {
  const files = [...document.getElementById("archive").files];
  const total = files.reduce((n, f) => n + f.size, 0);
  const begun = await ask("POST", "/bring/files", JSON.stringify({files: files.map((f) => ({name: f.name, size: f.size}))}));
  const got = new Map(begun.files.map((f) => [f.name, f.got || 0]));
  for (const file of files) {
    for (let at = got.get(file.name); at < file.size; got.set(file.name, at)) {
      const path = "/bring/" + begun.id + "/files/" + encodeURIComponent(file.name) + "?from=" + at;
      at = (await ask("PUT", path, file.slice(at, at + partSize))).got;
      document.getElementById("trouble").hidden = true;
      document.getElementById("sent").value = Math.floor(1000 * ([...got.values()].reduce((a, b) => a + b, 0) - got.get(file.name) + at) / total);
    }
  }
  form.action = "/bring/" + begun.id + "/check";
  form.enctype = "application/x-www-form-urlencoded";
  document.getElementById("archive").disabled = true;
  form.submit();
}

if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    document.getElementById("send").disabled = true;
    document.getElementById("trouble").hidden = true;
    document.getElementById("sending").hidden = false;
    send().catch((e) => {
      document.getElementById("trouble").textContent = form.dataset[e.message] || form.dataset.lost;
      document.getElementById("trouble").hidden = false;
      document.getElementById("sending").hidden = true;
      document.getElementById("send").disabled = false;
    });
  });
}

if (state && state.dataset.events && window.EventSource) {
  const source = new EventSource(state.dataset.events);
  source.addEventListener("state", (event) => { state.innerHTML = JSON.parse(event.data); }); // written by our own templates
  source.addEventListener("step", (event) => { spoken.textContent = JSON.parse(event.data); });
  source.addEventListener("end", () => { source.close(); location.reload(); });
}
