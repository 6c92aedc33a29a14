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

// The sign-up form asks for a licence only when it is needed.
const licence = document.querySelector("[data-licence-fields]");
if (licence) {
  const show = () => {
    const role = document.querySelector("input[name=role]:checked");
    licence.hidden = !(role && role.value === "doctor");
  };
  document.addEventListener("change", show);
  show();
}
