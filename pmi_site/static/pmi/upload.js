/* Uploads with real progress. Without this script the form still works as a plain one. */
(() => {
  "use strict";

  const form = document.getElementById("upload-form");
  if (!form) return;

  const zone = document.getElementById("drop-zone");
  const queueElement = document.getElementById("upload-queue");
  const live = document.getElementById("upload-live");
  const text = form.dataset;
  const maxBytes = Number(text.maxBytes);
  const maxFiles = Number(text.maxFiles);
  const PARALLEL = 2;

  // Names are hints for grouping only; what a file is, the server finds out from its bytes.
  const PICTURE = /\.(jpe?g|png|tiff?|webp|heic|heif|bmp|gif)$/i;
  const WHOLE = /\.(jpe?g|png|tiff?|webp|heic|heif|bmp|gif|zip|nii|nii\.gz|gz|pdf|mp4|mov|avi|docx?)$/i;
  const DICOM = /(^|\/)dicomdir$|\.(dcm|dicom|ima)$|(^|\/)[^./]+$/i;
  const NOT_PICTURES =
    /(^|\/)(\.|thumbs\.db|desktop\.ini|autorun\.inf)|\.(exe|dll|inf|ini|html?|css|js|txt|xml|xsl|pdf|ico|bat|cmd|msi|jar|class|chm|hlp|cfg|log|db|lnk|app|plist|so|dylib|md|json|rtf|docx?)$/i;

  const waiting = [];
  let active = 0;

  form.classList.add("is-live");

  function fill(template, count) {
    return template.replace("%(count)s", String(count));
  }

  function size(files) {
    return files.reduce((sum, file) => sum + file.size, 0);
  }

  function readable(bytes) {
    const units = ["bytes", "KB", "MB", "GB"];
    let unit = 0;
    let value = bytes;
    while (value >= 1024 && unit < units.length - 1) {
      value /= 1024;
      unit += 1;
    }
    const digits = unit === 0 ? 0 : 1;
    const shown = value.toLocaleString(document.documentElement.lang, {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
    return `${shown} ${units[unit]}`;
  }

  /* --- what belongs together ---
     A picture, a zip or a NIfTI file goes on its own. DICOM files (and files without a known ending) that were chosen
     together may be slices of one series: they travel in one request. */
  function group(entries, isFolder) {
    let kept = entries;
    let skipped = 0;
    if (isFolder) {
      kept = entries.filter((entry) => !NOT_PICTURES.test(entry.path));
      // A CD's viewer brings its own icons; beside DICOM files, pictures are decoration.
      if (kept.some((entry) => DICOM.test(entry.path))) kept = kept.filter((entry) => !PICTURE.test(entry.path));
      skipped = entries.length - kept.length;
    }
    const jobs = [];
    const together = [];
    for (const entry of kept) {
      if (WHOLE.test(entry.path)) jobs.push({ name: entry.file.name, files: [entry.file] });
      else together.push(entry.file);
    }
    if (together.length === 1) jobs.push({ name: together[0].name, files: together });
    if (together.length > 1) jobs.push({ name: groupName(together), files: together });
    return { jobs, skipped };
  }

  function groupName(files) {
    return files.length > 3 ? fill(text.textGroup, files.length) : files.map((file) => file.name).join(", ");
  }

  function add(entries, isFolder) {
    if (!entries.length) return;
    const { jobs, skipped } = group(entries, isFolder);
    if (skipped) note(skipped === 1 ? text.textSkippedOne : fill(text.textSkipped, skipped));
    jobs.forEach(enqueue);
    pump();
  }

  /* --- one line per job --- */
  function row(name) {
    const element = document.createElement("li");
    element.className = "upload-row";
    const top = document.createElement("div");
    top.className = "upload-row-top";
    const title = document.createElement("span");
    title.className = "upload-row-name";
    title.textContent = name;
    title.title = name;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-sm btn-outline-secondary";
    top.append(title, button);
    const bar = document.createElement("progress");
    bar.max = 100;
    bar.value = 0;
    bar.setAttribute("aria-label", name);
    const state = document.createElement("p");
    state.className = "upload-row-state";
    element.append(top, bar, state);
    queueElement.prepend(element);
    return { element, button, bar, state };
  }

  function say(job, message, announce) {
    job.row.state.textContent = message;
    if (announce) live.textContent = `${job.name}: ${message}`;
  }

  function finish(job, kind, message, retry) {
    job.row.bar.remove();
    job.row.element.classList.add(kind);
    say(job, message, true);
    const button = job.row.button;
    if (retry) {
      button.textContent = text.textRetry;
    } else {
      button.className = "btn-close";
      button.textContent = "";
      button.setAttribute("aria-label", text.textRemove);
    }
    button.onclick = () => {
      job.row.element.remove();
      if (retry) {
        enqueue({ name: job.name, files: job.files });
        pump();
      }
    };
  }

  function note(message) {
    const line = { name: "", row: row("") };
    line.row.element.querySelector(".upload-row-name").remove();
    line.row.element.querySelector(".upload-row-top").prepend(line.row.state);
    line.row.state.classList.add("flex-grow-1");
    finish(line, "is-note", message, false);
  }

  function enqueue(job) {
    job.row = row(job.name);
    const bytes = size(job.files);
    if (job.files.length === 1 && bytes === 0) return finish(job, "is-refused", `${text.textRefused}: ${text.textEmpty}`, false);
    if (bytes > maxBytes) return finish(job, "is-refused", `${text.textRefused}: ${text.textTooLarge}`, false);
    if (job.files.length > maxFiles) return finish(job, "is-refused", `${text.textRefused}: ${text.textTooMany}`, false);
    job.bytes = bytes;
    job.row.button.textContent = text.textCancel;
    job.row.button.onclick = () => {
      job.stopped = true;
      if (job.request) job.request.abort();
      else finish(job, "is-note", text.textCancelled, true);
    };
    say(job, text.textWaiting, false);
    waiting.push(job);
    return undefined;
  }

  function refuseFolder(name) {
    const job = { name, row: row(name) };
    finish(job, "is-refused", `${text.textRefused}: ${text.textTooMany}`, false);
  }

  function pump() {
    while (active < PARALLEL && waiting.length) {
      const job = waiting.shift();
      if (!job.stopped) send(job);
    }
  }

  /* --- sending --- */
  function send(job) {
    active += 1;
    const request = new XMLHttpRequest();
    job.request = request;
    const body = new FormData();
    for (const file of job.files) body.append("files", file, file.name);

    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      const percent = Math.floor((100 * event.loaded) / event.total);
      job.row.bar.value = percent;
      say(job, `${text.textSending} · ${percent}% · ${readable(Math.min(event.loaded, job.bytes))} / ${readable(job.bytes)}`, false);
    });
    request.upload.addEventListener("load", () => {
      job.row.bar.removeAttribute("value"); // how long the check takes is not known
      job.row.button.hidden = true; // too late to stop: it may be stored already
      say(job, `${text.textChecking} …`, true);
    });
    request.addEventListener("load", () => answered(job, request));
    request.addEventListener("error", () => finish(job, "is-refused", text.textBroken, true));
    request.addEventListener("abort", () => finish(job, "is-note", text.textCancelled, true));
    request.addEventListener("loadend", () => {
      active -= 1;
      job.request = null;
      job.row.button.hidden = false;
      pump();
    });
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
    request.send(body);
  }

  function answered(job, request) {
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      answer = null;
    }
    if (request.status === 401 || request.status === 403) return finish(job, "is-refused", text.textSignedOut, false);
    if (answer === null) return finish(job, "is-refused", text.textServer, true);
    if (answer.detail) return finish(job, "is-refused", `${text.textRefused}: ${answer.detail}`, false);

    const messages = [];
    if (answer.created.length === 1) messages.push(text.textStored);
    if (answer.created.length > 1) messages.push(fill(text.textStoredMany, answer.created.length));
    if (answer.duplicates.length) messages.push(text.textDuplicate);
    let kind = "is-refused";
    if (answer.created.length || answer.duplicates.length) kind = answer.refused.length ? "is-note" : "is-done";
    if (!answer.created.length && answer.duplicates.length) kind = "is-note";
    if (answer.refused.length === 1 && job.files.length === 1) {
      messages.push(`${text.textRefused}: ${answer.refused[0].message}`);
    }
    finish(job, kind, messages.join(" "), false);
    if (answer.refused.length > 1 || (answer.refused.length && job.files.length > 1)) listRefused(job, answer.refused);
    if (answer.created.length) refreshScans();
    return undefined;
  }

  function listRefused(job, refused) {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = `${text.textRefused}: ${refused.length}`;
    details.open = refused.length <= 5;
    const list = document.createElement("ul");
    list.className = "mb-0";
    for (const item of refused) {
      const line = document.createElement("li");
      line.textContent = `${item.name}: ${item.message}`;
      list.append(line);
    }
    details.append(summary, list);
    job.row.element.append(details);
  }

  /* One after the other: a list that was asked for while another was on its way would take the place of an element
     that is no longer there, and what was stored in between would not appear. */
  let isRefreshing = false;
  let isStale = false;
  async function refreshScans() {
    if (!window.htmx) return window.location.reload();
    isStale = true;
    if (isRefreshing) return undefined;
    isRefreshing = true;
    while (isStale) {
      isStale = false;
      try {
        await window.htmx.ajax("GET", text.listUrl, { target: "#scan-list", swap: "outerHTML" });
      } catch {
        // The row says that the file is stored; the list comes with the next one, or with the page.
      }
    }
    isRefreshing = false;
    return undefined;
  }

  /* --- choosing and dropping --- */
  for (const input of form.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      const isFolder = input.hasAttribute("webkitdirectory");
      const entries = Array.from(input.files, (file) => ({ file, path: file.webkitRelativePath || file.name }));
      add(entries, isFolder);
      input.value = ""; // the same file may be chosen again
    });
  }

  async function readEntry(entry, found) {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      found.push({ file, path: entry.fullPath });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // A reader hands out a directory in pieces and ends with an empty one.
      const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!entries.length) return;
      for (const child of entries) {
        if (found.length > maxFiles) {
          found.isCut = true;
          return;
        }
        await readEntry(child, found);
      }
    }
  }

  let depth = 0;
  function over(isOver) {
    zone.classList.toggle("is-over", isOver);
  }
  zone.addEventListener("dragenter", (event) => {
    event.preventDefault();
    depth += 1;
    over(true);
  });
  zone.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) over(false);
  });
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    const items = Array.from(event.dataTransfer.items || []);
    const roots = items.map((item) => (item.webkitGetAsEntry ? item.webkitGetAsEntry() : null)).filter(Boolean);
    const plain = Array.from(event.dataTransfer.files, (file) => ({ file, path: file.name }));
    if (!roots.some((root) => root.isDirectory)) return add(plain, false);
    const loose = [];
    for (const root of roots) {
      const found = root.isDirectory ? [] : loose;
      try {
        await readEntry(root, found);
      } catch {
        note(text.textServer);
      }
      // What was not read may be what matters: a part of a folder is not sent.
      if (found.isCut) refuseFolder(root.name);
      else if (root.isDirectory) add(found, true);
    }
    add(loose, false);
    return undefined;
  });
  // A file dropped beside the zone must not replace the page.
  for (const name of ["dragover", "drop"]) {
    window.addEventListener(name, (event) => {
      if (!zone.contains(event.target)) event.preventDefault();
    });
  }

  window.addEventListener("beforeunload", (event) => {
    if (!active && !waiting.length) return;
    event.preventDefault();
    event.returnValue = text.textLeave;
  });
})();
