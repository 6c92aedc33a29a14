/* The reading room: two panes, one toolbar, keys. The page works without this file, with still pictures. */
(function () {
  "use strict";

  const { hasWebGL2, loadScript, clamp } = window.pmiBrowser;
  const { Pane, PaneInput } = window.pmiRoom;
  const ASK_ABOVE_BYTES = 60e6;
  const TOOLS = { s: "slice", w: "window", m: "move", z: "zoom", d: "line", a: "angle" };
  const PANEL_KEYS = /^(Arrow|Page|Home$|End$|Delete$|Backspace$)/;
  const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
  const KEYS_SETTING = "pmi-room-keys";

  class Room {
    constructor(root, data) {
      this.root = root;
      this.data = data;
      this.words = data.words;
      this.panes = [...root.querySelectorAll("[data-room-pane]")].map((part) => new Pane(part, this));
      this.inputs = this.panes.map((pane) => new PaneInput(pane, this));
      [this.first, this.second] = this.panes;
      this.active = this.first;
      this.anchors = null;
      this.bind();
    }

    part(name) {
      return this.root.querySelector(`[data-do=${name}]`);
    }

    say(text) {
      if (text) this.root.querySelector("[data-role=say]").textContent = text;
    }

    async start() {
      this.root.classList.add("is-live");
      this.setTool(this.data.current.volume ? "slice" : "move");
      await this.open(this.first, this.data.current);
      this.root.dataset.ready = "true";
      const asked = this.part("prior")?.value;
      if (asked && this.part("compare")?.getAttribute("aria-pressed") === "true") await this.compare(true);
    }

    /* --- scans --- */
    async open(pane, info, sure = false) {
      const request = pane.take(info);
      const button = pane.root.querySelector("[data-pane=open]");
      button.hidden = info.bytes <= ASK_ABOVE_BYTES || sure;
      if (!button.hidden) {
        button.onclick = () => this.open(pane, info, true);
        pane.showStill();
        this.leave(pane);
        return;
      }
      try {
        if (!window.niivue) await loadScript(this.data.niivue);
        await pane.open(request);
      } catch (error) {
        // What became of a scan that is no longer wanted is nobody's concern.
        if (!pane.isNewest(request)) return;
        pane.giveUp();
        this.leave(pane);
        return;
      }
      if (!pane.isNewest(request) || !pane.ready) return;
      this.showControls();
      await this.heat(pane);
      if (pane === this.second) this.meet();
    }

    get both() {
      return !this.second.root.hidden && this.first.ready && this.second.ready;
    }

    /* The other scan opens at the same height, zoom and window; from there on, both move by the same way. */
    meet() {
      if (!this.both) return;
      const [a, b] = [this.first, this.second];
      if (b.info.volume && a.info.volume) b.setView(a.view);
      if (this.linked("scroll") && a.info.volume && b.info.volume) {
        const [from, to] = [a.size(), b.size()];
        b.setVoxel(a.voxel().map((value, axis) => ((value + 0.5) / from[axis]) * to[axis] - 0.5));
      }
      this.anchor();
      this.follow(a, "place");
      this.follow(a, "window");
    }

    anchor() {
      this.anchors = this.both ? new Map(this.panes.map((pane) => [pane, pane.voxel()])) : null;
    }

    linked(what) {
      return Boolean(this.part(`link-${what}`)?.checked);
    }

    follow(source, what) {
      if (!this.both || !this.linked(what)) return;
      const other = source === this.first ? this.second : this.first;
      if (what === "place") other.setPlace(source.getPlace());
      if (what === "window") {
        other.window.copy(source.window);
        other.inverted = source.inverted;
        other.applyWindow();
      }
      if (what === "scroll" && source.info.volume && other.info.volume && this.anchors) {
        const [units, theirs] = [source.unit(), other.unit()];
        const [from, to] = [source.size(), other.size()];
        const known = units.known && theirs.known;
        const start = this.anchors.get(source);
        const goal = this.anchors.get(other);
        const now = source.voxel();
        other.setVoxel(
          goal.map((value, axis) => {
            // The same way in millimetres where both files tell them, else the same share of the stack.
            const ratio = known ? units.spacing[axis] / theirs.spacing[axis] : to[axis] / from[axis];
            return value + (now[axis] - start[axis]) * ratio;
          }),
        );
      }
    }

    async compare(on) {
      const picker = this.part("prior");
      const info = this.data.others.find((one) => one.id === picker.value) || this.data.others[0];
      this.part("compare").setAttribute("aria-pressed", String(on));
      this.second.root.hidden = !on;
      this.root.classList.toggle("has-two", on);
      const address = new URL(window.location.href);
      if (on) address.searchParams.set("prior", info.id);
      else address.searchParams.delete("prior");
      window.history.replaceState(null, "", address);
      if (!on) {
        this.anchors = null;
        this.activate(this.first);
      } else if (!this.second.ready || this.second.info.id !== info.id) {
        await this.open(this.second, info);
      } else {
        this.meet();
        // While it was hidden, another finding may have been chosen, or none.
        await this.heat(this.second);
      }
      this.showControls();
    }

    /* The toolbar turns away from a pane that has nothing to work on. */
    leave(pane) {
      if (pane === this.active) this.activate(this.first);
      this.showControls();
    }

    activate(pane) {
      if (this.active === pane) return;
      this.active = pane;
      for (const one of this.panes) one.root.classList.toggle("is-active", one === pane);
      this.showControls();
    }

    /* The toolbar shows how things stand in the active pane. */
    showControls() {
      const pane = this.active;
      if (!pane.ready) return;
      for (const one of this.panes) one.root.classList.toggle("is-active", one === pane);
      const preset = this.part("preset");
      if (preset.dataset.scan !== pane.info.id) {
        preset.replaceChildren(...pane.info.presets.map((one) => new Option(one.name, one.id)));
        preset.dataset.scan = pane.info.id;
      }
      preset.value = pane.window.preset.id;
      this.part("invert").setAttribute("aria-pressed", String(pane.inverted));
      const view = this.part("view");
      if (view) {
        view.value = pane.view;
        view.disabled = !pane.info.volume;
      }
      const flip = this.part("flip");
      flip.disabled = pane.info.volume;
      flip.setAttribute("aria-pressed", String(pane.flipped));
      for (const name of ["link-scroll", "link-place", "link-window"]) {
        const box = this.part(name);
        if (box) box.disabled = !this.both;
      }
    }

    /* --- what the tools do --- */
    each(action) {
      for (const pane of this.panes) if (pane.ready && !pane.root.hidden) action(pane);
    }

    withActive(action, what) {
      if (!this.active.ready) return;
      action(this.active);
      if (what) this.follow(this.active, what);
      this.showControls();
    }

    setTool(tool) {
      this.tool = tool;
      for (const button of this.root.querySelectorAll("[data-tool]")) {
        button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
      }
      this.root.dataset.tool = tool;
      for (const pane of this.panes) pane.measures.setMark(null);
      if (tool === "angle") this.say(this.words.angleHow);
      if (tool === "line") this.say(this.words.lineHow);
    }

    moveWindow(pane, shift, factor) {
      pane.window.shift = clamp(shift, -3, 3);
      pane.window.factor = clamp(factor, 0.01, 12);
      pane.applyWindow();
      this.follow(pane, "window");
    }

    nudge(shift, factor) {
      this.withActive((pane) => this.moveWindow(pane, pane.window.shift + shift, pane.window.factor * factor));
    }

    usePreset(id) {
      this.withActive((pane) => {
        pane.window.use(id);
        pane.applyWindow();
      }, "window");
    }

    nextPreset(by) {
      const all = this.active.info?.presets || [];
      const at = all.findIndex((one) => one.id === this.active.window?.preset.id);
      if (all.length) this.usePreset(all[(at + by + all.length) % all.length].id);
      this.say(this.active.window?.preset.name);
    }

    invert() {
      this.withActive((pane) => {
        pane.inverted = !pane.inverted;
        pane.applyWindow();
      }, "window");
    }

    setView(view) {
      this.withActive((pane) => pane.setView(view));
      if (this.linked("scroll")) this.each((pane) => pane.info.volume && pane.setView(this.active.view));
      this.showControls();
    }

    nextView() {
      const picker = this.part("view");
      if (!picker || !this.active.info.volume) return;
      const all = [...picker.options].map((option) => option.value);
      this.setView(all[(all.indexOf(this.active.view) + 1) % all.length]);
    }

    scroll(by) {
      this.withActive((pane) => pane.step(by), "scroll");
    }

    scrollTo(end) {
      this.withActive((pane) => pane.info.volume && pane.setSlice(end ? pane.size()[pane.axis] - 1 : 0), "scroll");
    }

    zoomBy(factor) {
      this.withActive((pane) => pane.setZoom(pane.zoom * factor), "place");
    }

    panBy(dx, dy) {
      this.withActive((pane) => pane.panStep(dx, dy), "place");
    }

    reset() {
      this.each((pane) => pane.reset());
      this.meet();
      this.showControls();
    }

    keySlice() {
      this.withActive((pane) => pane.goToKeySlice(), "scroll");
      if (this.linked("scroll")) this.each((pane) => pane.info.volume && pane.setView(this.active.view));
    }

    flip() {
      this.withActive((pane) => pane.setFlip(!pane.flipped));
    }

    removeMeasure(all) {
      this.each((pane) => {
        if (all) pane.measures.clear();
        else if (pane === this.active) pane.measures.removeLast();
      });
      this.say(this.words.removed);
    }

    async heat(pane) {
      const toggle = this.part("heat");
      if (!toggle) return;
      const condition = toggle.checked ? this.part("finding").value : "";
      const opacity = Number(this.part("opacity").value) / 100;
      // All at once: waiting for one pane would let an older click come after a newer one on the other.
      const shown = (pane ? [pane] : this.panes).filter((one) => !one.root.hidden);
      await Promise.all(shown.map((one) => one.showHeat(condition, opacity)));
    }

    full() {
      if (document.fullscreenElement) document.exitFullscreen();
      else this.root.requestFullscreen().catch(() => undefined);
    }

    sidePanel() {
      const hidden = this.root.classList.toggle("no-side");
      this.part("side").setAttribute("aria-pressed", String(!hidden));
    }

    /* --- controls --- */
    bind() {
      const on = (name, event, action) => this.part(name)?.addEventListener(event, action);
      const clicks = {
        invert: () => this.invert(),
        flip: () => this.flip(),
        reset: () => this.reset(),
        key: () => this.keySlice(),
        undo: () => this.removeMeasure(false),
        clear: () => this.removeMeasure(true),
        full: () => this.full(),
        side: () => this.sidePanel(),
        help: () => this.part("help-dialog").showModal(),
        "zoom-in": () => this.zoomBy(1.25),
        "zoom-out": () => this.zoomBy(0.8),
        compare: () => this.compare(this.second.root.hidden),
      };
      for (const [name, action] of Object.entries(clicks)) on(name, "click", action);
      on("preset", "change", (event) => this.usePreset(event.target.value));
      on("view", "change", (event) => this.setView(event.target.value));
      on("prior", "change", () => this.compare(true));
      on("heat", "change", () => this.heat());
      on("finding", "change", () => this.heat());
      on("opacity", "input", (event) => this.each((pane) => pane.setOpacity(Number(event.target.value) / 100)));
      on("link-scroll", "change", () => this.anchor());
      on("link-place", "change", () => this.follow(this.first, "place"));
      on("link-window", "change", () => this.follow(this.first, "window"));
      for (const button of this.root.querySelectorAll("[data-tool]")) {
        button.addEventListener("click", () => this.setTool(button.dataset.tool));
      }
      for (const pane of this.panes) {
        pane.slider.addEventListener("input", () => {
          if (!pane.ready) return;
          this.activate(pane);
          pane.setSlice(Number(pane.slider.value));
          this.follow(pane, "scroll");
        });
      }
      if (!document.fullscreenEnabled) this.part("full")?.remove();
      const keys = this.part("keys");
      keys.checked = window.localStorage.getItem(KEYS_SETTING) !== "off";
      keys.addEventListener("change", () => window.localStorage.setItem(KEYS_SETTING, keys.checked ? "on" : "off"));
      document.addEventListener("keydown", (event) => this.key(event));
    }

    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
      // Letters belong to whoever types; arrows belong to sliders and lists.
      if (event.target.closest("textarea, select, dialog, [contenteditable], input:not([type=checkbox])")) return;
      const onCanvas = event.target.tagName === "CANVAS";
      if (!this.part("keys").checked && !onCanvas) return;
      const action = this.actionOf(event);
      if (!action) return;
      // Keys that scroll belong to the panel beside the picture when the focus is there, and nothing is removed from
      // within it.
      if (PANEL_KEYS.test(event.key) && event.target.closest(".room-side")) return;
      event.preventDefault();
      action();
    }

    actionOf(event) {
      const up = event.shiftKey;
      if (["line", "angle"].includes(this.tool) && event.target === this.active.canvas && this.active.ready) {
        const hand = this.inputs[this.panes.indexOf(this.active)];
        if (event.key in ARROWS) return () => hand.moveMark(...ARROWS[event.key], up);
        if (event.key === "Enter") return () => hand.putPoint();
      }
      const keys = {
        ArrowUp: () => (up || !this.active.info?.volume ? this.panBy(0, -1) : this.scroll(1)),
        ArrowDown: () => (up || !this.active.info?.volume ? this.panBy(0, 1) : this.scroll(-1)),
        ArrowLeft: () => this.panBy(-1, 0),
        ArrowRight: () => this.panBy(1, 0),
        PageUp: () => this.scroll(10),
        PageDown: () => this.scroll(-10),
        Home: () => this.scrollTo(false),
        End: () => this.scrollTo(true),
        Delete: () => this.removeMeasure(up),
        Backspace: () => this.removeMeasure(up),
        "+": () => this.zoomBy(1.25),
        "=": () => this.zoomBy(1.25),
        "-": () => this.zoomBy(0.8),
        "[": () => this.nextPreset(-1),
        "]": () => this.nextPreset(1),
        "?": () => this.part("help-dialog").showModal(),
        0: () => this.reset(),
        i: () => this.invert(),
        f: () => !this.part("flip").disabled && this.flip(),
        h: () => this.part("heat")?.click(),
        k: () => this.keySlice(),
        v: () => this.nextView(),
        p: () => this.part("compare")?.click(),
        l: () => this.part("link-scroll")?.click(),
        b: () => this.nudge(up ? 0.03 : -0.03, 1),
        c: () => this.nudge(0, up ? 1.1 : 1 / 1.1),
        t: () => this.both && (this.active === this.first ? this.second : this.first).canvas.focus(),
        x: () => this.part("full")?.click(),
        n: () => this.sidePanel(),
      };
      const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (letter in TOOLS) return () => this.setTool(TOOLS[letter]);
      return keys[letter];
    }
  }

  /* Without WebGL 2: the server draws each slice; a slider leafs through. */
  function leafThroughStills(root) {
    root.querySelector("[data-role=no-webgl]").hidden = false;
    for (const part of root.querySelectorAll("[data-still-slider]")) {
      const image = part.closest("[data-room-pane]").querySelector(".room-still img");
      let wait = 0;
      part.closest("label").hidden = false;
      part.addEventListener("input", () => {
        clearTimeout(wait);
        wait = setTimeout(() => {
          const address = new URL(image.src, window.location.href);
          address.searchParams.set("plane", part.dataset.plane);
          address.searchParams.set("index", part.value);
          image.src = address;
          const words = image.closest("figure").querySelector("[data-still-words]");
          words.textContent = words.dataset.stillWords
            .replace("{n}", Number(part.value) + 1)
            .replace("{total}", Number(part.max) + 1);
        }, 80);
      });
    }
    const help = root.querySelector("[data-do=help]");
    help.addEventListener("click", () => root.querySelector("[data-do=help-dialog]").showModal());
  }

  const root = document.querySelector("[data-room]");
  if (root) {
    const data = JSON.parse(document.getElementById("room-data").textContent);
    if (hasWebGL2()) new Room(root, data).start();
    else leafThroughStills(root);
    root.querySelector("[data-do=help]").hidden = false;
  }
})();
