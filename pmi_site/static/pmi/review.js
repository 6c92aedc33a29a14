/* The form of a review: an answer that refuses it is shown in its place, with what was written. Nothing that was
   written goes without a word: neither by a save that failed, nor by a closed tab, nor by a page that loads itself. */
"use strict";

(() => {
  let isChanged = false;
  let isOutdated = false;

  const isForm = (event) => event.target.matches(".review-form");
  const isPoll = (event) => event.target.id === "reading-progress";
  const isRefresh = (xhr) => xhr.getResponseHeader("HX-Refresh") === "true";

  function show(role, isShown) {
    const note = document.querySelector(`[data-role=${role}]`);
    if (note) note.hidden = !isShown;
  }

  function tellUnsaved() {
    isChanged = true;
    show("review-unsaved", true);
  }

  document.addEventListener("input", (event) => {
    if (event.target.closest(".review-form")) isChanged = true;
  });
  document.addEventListener("submit", (event) => {
    // With htmx the answer decides.
    if (event.target.matches(".review-form") && !window.htmx) isChanged = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (isChanged) event.preventDefault();
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isForm(event)) {
      show("review-unsaved", false);
      // What is written now would not be in what is sent, and gone when the answer takes the form's place.
      event.target.inert = true;
    }
    // Asked on, the server would have the page loaded anew each time; once the draft is saved, it may.
    if (isPoll(event) && isOutdated && isChanged) event.preventDefault();
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    if (isForm(event)) event.target.inert = false;
  });

  document.addEventListener("htmx:beforeOnLoad", (event) => {
    const { xhr } = event.detail;
    if (isForm(event)) answered(event, xhr);
    if (isPoll(event) && isChanged && (isRefresh(xhr) || [401, 403, 404].includes(xhr.status))) {
      event.preventDefault();
      isOutdated = true;
      show("review-outdated", true);
    }
  });

  /* Saved means: the panel came back without a problem, or we are sent on to the result. */
  function answered(event, xhr) {
    if (xhr.status >= 400 && !isRefresh(xhr)) return; // told by htmx:responseError, or shown in the form's place
    const text = xhr.responseText;
    const isPanel = text.includes("data-review") && !text.includes("data-review-problem");
    if (xhr.getResponseHeader("HX-Redirect") || isPanel) {
      isChanged = false;
    } else if (!text.includes("data-review")) {
      // A page to sign in, say: in the panel's place it would take away what was written.
      event.preventDefault();
      tellUnsaved();
    }
  }

  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    if (!target || !target.matches("[data-review]")) return;
    if ([400, 401, 404, 409].includes(event.detail.xhr.status) && event.detail.serverResponse.includes("data-review")) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  for (const name of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(name, (event) => {
      if (isForm(event)) tellUnsaved();
    });
  }

  document.addEventListener("htmx:afterSettle", (event) => {
    if (!event.detail.target.matches("[data-review]")) return;
    show("review-outdated", isOutdated && isChanged);
    document.querySelector("[data-review-problem]")?.focus();
  });
})();
