// Words and fallbacks around allauth's passkey scripts: a failed or refused passkey is said, not only logged.
"use strict";

(() => {
  const usable = Boolean(window.PublicKeyCredential) && window.isSecureContext;
  for (const place of document.querySelectorAll("[data-passkey]")) {
    const missing = place.querySelector("[data-passkey-missing]");
    if (!usable) {
      place.querySelector("[data-passkey-button]").hidden = true;
      if (missing) missing.hidden = false;
    }
  }
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    for (const note of document.querySelectorAll("[data-passkey-failed]")) note.hidden = false;
  });
})();
