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

// A form that was sent is not sent again by a second tap: the thing would be done twice, or the answer would be
// that it is gone. Only for a while, as the way to PMI may break; and not on a page that somebody came back to.
const SENT_SECONDS = 8;
document.addEventListener("submit", (event) => {
  const form = event.target;
  const isPlain = (form.getAttribute("method") || "").toLowerCase() === "post" && !form.matches("[hx-post]");
  // Where the answer opens elsewhere, or a script sends the form, this page stays and may send it again.
  const target = event.submitter?.getAttribute("formtarget") || form.getAttribute("target") || "_self";
  if (!isPlain || target !== "_self" || event.defaultPrevented) return;
  if ("sent" in form.dataset) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  setTimeout(() => delete form.dataset.sent, SENT_SECONDS * 1000);
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Where a form came back with something wrong, begin there. It may be far down a small screen.
const wrong =
  document.querySelector("[aria-invalid=true]") || document.querySelector("[data-form-alert]");
if (wrong) {
  const part = wrong.closest("details");
  if (part) part.open = true;
  wrong.focus();
}

// Answers that were changed and not saved: said in every place that has a note for it, and before the page is left.
const questions = document.querySelector("form[data-unsaved]");
if (questions) {
  const isChanged = () =>
    questions.dataset.unsaved === "yes" ||
    Array.from(questions.querySelectorAll("input")).some((field) =>
      // A box without a value of its own says "on", whatever it said before.
      ["checkbox", "radio"].includes(field.type)
        ? field.checked !== field.defaultChecked
        : field.value !== field.defaultValue,
    );
  let isLeaving = false;
  const show = () => {
    isLeaving = false;
    for (const note of document.querySelectorAll("[data-unsaved-note]")) note.hidden = !isChanged();
  };
  for (const name of ["input", "change"]) questions.addEventListener(name, show);
  questions.addEventListener("submit", () => (isLeaving = true));
  window.addEventListener("pageshow", show);
  window.addEventListener("beforeunload", (event) => {
    if (!isLeaving && isChanged()) event.preventDefault();
  });
}

// The sign-up form asks doctors for a licence and patients for their consent.
const licence = document.querySelector("[data-licence-fields]");
if (licence) {
  const show = () => {
    const role = document.querySelector("input[name=role]:checked");
    licence.hidden = !(role && role.value === "doctor");
    const consent = document.querySelector("[data-patient-fields]");
    consent.hidden = !licence.hidden;
    // What is missing is said before anything is sent: the form comes back without the passwords.
    for (const part of [licence, consent])
      for (const input of part.querySelectorAll("input")) input.required = !part.hidden;
  };
  document.addEventListener("change", show);
  show();
}
