// Passkeys (WebAuthn level 3): asks the browser for one, and sends what it says with the form. Without this file, or in a
// browser that knows no passkeys, everything else works.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// parse turns the options' base64url into bytes.
function parse(options) {
  const list = (all) => (all || []).map((c) => ({ ...c, id: bytes(c.id) }));
  const parsed = { ...options, challenge: bytes(options.challenge) };
  if (options.allowCredentials) parsed.allowCredentials = list(options.allowCredentials);
  if (options.excludeCredentials) parsed.excludeCredentials = list(options.excludeCredentials);
  if (options.user) parsed.user = { ...options.user, id: bytes(options.user.id) };
  return parsed;
}

// write turns what the authenticator said into JSON.
function write(credential) {
  const r = credential.response;
  const response = { clientDataJSON: text(r.clientDataJSON) };
  if (r.attestationObject) {
    response.attestationObject = text(r.attestationObject);
    response.transports = r.getTransports ? r.getTransports() : [];
  } else {
    response.authenticatorData = text(r.authenticatorData);
    response.signature = text(r.signature);
    if (r.userHandle) response.userHandle = text(r.userHandle);
  }
  return JSON.stringify({
    id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
    authenticatorAttachment: credential.authenticatorAttachment || undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

async function ask(form) {
  const options = parse(JSON.parse(form.dataset.options));
  if (form.dataset.passkey === "get") return navigator.credentials.get({ publicKey: options });
  const name = form.elements[form.dataset.name || ""];
  if (options.user && name && name.value) options.user.name = options.user.displayName = name.value;
  return navigator.credentials.create({ publicKey: options });
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  for (const part of [form, ...form.querySelectorAll("[data-show]")]) part.hidden = false;
  form.querySelector("[data-ask]").addEventListener("click", async (event) => {
    event.preventDefault();
    const name = form.elements[form.dataset.name || ""];
    if (name && !name.reportValidity()) return;
    const fault = form.querySelector("[data-fault]");
    fault.hidden = true;
    try {
      form.elements.response.value = write(await ask(form));
    } catch {
      fault.hidden = false;
      return;
    }
    form.noValidate = true;
    form.submit();
  });
}
