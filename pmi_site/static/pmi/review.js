/* The form of a review: an answer that refuses it is shown in its place, with what was written. */
"use strict";

document.addEventListener("htmx:beforeSwap", (event) => {
  const target = event.detail.target;
  if (!target || !target.matches("[data-review]")) return;
  if ([400, 401, 404, 409].includes(event.detail.xhr.status) && event.detail.serverResponse.includes("data-review")) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

document.addEventListener("htmx:afterSettle", () => {
  const problem = document.querySelector("[data-review-problem]");
  if (problem) problem.focus();
});

// Nothing that was written goes without a word: neither by a lost connection nor by a closed tab.
let isChanged = false;
document.addEventListener("input", (event) => {
  if (event.target.closest(".review-form")) isChanged = true;
});
document.addEventListener("submit", (event) => {
  if (event.target.closest(".review-form")) isChanged = false;
});
document.addEventListener("htmx:sendError", () => {
  isChanged = true;
});
window.addEventListener("beforeunload", (event) => {
  if (isChanged) event.preventDefault();
});
