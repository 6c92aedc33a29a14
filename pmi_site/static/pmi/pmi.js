/* Small helpers for every page; all pages work without them. */
"use strict";

// Copy buttons: <button data-copy="#id-of-text">
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.querySelector(button.dataset.copy).textContent.trim();
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = button.dataset.copied;
  } catch {
    // Without permission the text stays selectable by hand.
  }
});

// The sign-up form asks doctors for a licence and patients for their consent.
const licence = document.querySelector("[data-licence-fields]");
if (licence) {
  const show = () => {
    const role = document.querySelector("input[name=role]:checked");
    licence.hidden = !(role && role.value === "doctor");
    const consent = document.querySelector("[data-patient-fields]");
    if (consent) consent.hidden = !licence.hidden;
  };
  document.addEventListener("change", show);
  show();
}
