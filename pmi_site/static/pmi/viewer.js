/* The scan viewer of the result page: NiiVue draws, this file gives it controls that work by finger, mouse and keyboard.
 *
 * The page comes with still pictures (.pmi-viewer-still). They stay until the interactive viewer has drawn its first
 * picture, and come back if it loses its graphics context, so nobody is left in front of an empty box.
 *
 * NiiVue's own event handling is off (interactive: false): it would swallow every touch, and a phone could not scroll
 * past the picture.
 */
(function () {
  "use strict";

  const HEAT = "pmi-heat";
  // Black, violet, red, orange, yellow, as in the still pictures: told apart in every common colour vision.
  // How much shows through is set by TRANSLUCENT and cal_min: NiiVue rounds an overlay's own alpha to all or nothing.
  const HEAT_COLOURS = {
    R: [0, 87, 188, 249, 252],
    G: [0, 16, 55, 142, 255],
    B: [4, 110, 84, 9, 164],
    A: [0, 255, 255, 255, 255],
    I: [0, 64, 128, 191, 255],
  };
  const TRANSLUCENT_BELOW_MIN = 1;
  const SLICE = { axial: 0, coronal: 1, sagittal: 2, all: 3 };
  const AXIS = { axial: 2, coronal: 1, sagittal: 0, all: 2 };
  const MIN_ZOOM = 0.5;
  const MAX_ZOOM = 12;
  const LOAD_BY_ITSELF_BYTES = 30e6;

  const { hasWebGL2, loadScript, clamp } = window.pmiBrowser;

  class ScanViewer {
    constructor(root) {
      this.root = root;
      this.data = root.dataset;
      this.isVolume = this.data.mode === "volume";
      this.canvas = root.querySelector("canvas");
      this.stage = root.querySelector(".pmi-viewer-stage");
      this.live = root.querySelector(".pmi-viewer-live");
      this.still = root.querySelector(".pmi-viewer-still");
      this.message = root.querySelector("[data-role=message]");
      this.position = root.querySelector("[data-role=position]");
      this.tool = this.isVolume ? "slice" : "move";
      this.heat = null;
      this.heatRequest = 0;
      this.pointers = new Map();
      this.view = this.isVolume ? this.data.keyPlane || "axial" : "axial";
      if (!(this.view in SLICE)) this.view = "axial";
    }

    part(name) {
      return this.root.querySelector(`[data-control=${name}]`);
    }

    say(text) {
      this.message.textContent = text;
      this.message.hidden = !text;
    }

    async start() {
      this.say(this.data.msgLoading);
      try {
        if (!window.niivue) await loadScript(this.data.niivueSrc);
        this.live.hidden = false; // NiiVue measures the canvas, so it must have a size by now
        const nv = new window.niivue.Niivue({
          interactive: false,
          dragAndDropEnabled: false,
          isRadiologicalConvention: this.isVolume,
          isOrientationTextVisible: Boolean(this.data.oriented), // only where the file says how the patient lay
          sagittalNoseLeft: true,
          isColorbar: false,
          show3Dcrosshair: false,
          crosshairColor: [0.35, 0.75, 1, 0.9],
          crosshairWidth: 0,
          multiplanarShowRender: 0, // no 3D tile beside the three slices
          multiplanarLayout: 2, // a grid: larger than three in a row
          fontColor: [0.9, 0.9, 0.9, 1],
          backColor: [0, 0, 0, 1],
          loadingText: "",
          logLevel: "error",
        });
        this.nv = nv;
        await nv.attachToCanvas(this.canvas, false);
        this.canvas.setAttribute("tabindex", "0");
        nv.addColormap(HEAT, HEAT_COLOURS);
        if (Number(this.data.side) > nv.uiData.max3D) throw new Error("too large for this graphics card");
        await nv.loadVolumes([{ url: this.data.scanUrl, name: "scan.nii.gz", colormap: "gray" }]);
        if (!nv.volumes.length) throw new Error("empty");
      } catch (error) {
        this.giveUp(this.data.msgFailed);
        return;
      }
      const base = this.nv.volumes[0];
      this.window0 = [base.cal_min, base.cal_max];
      this.inverted = false;
      this.still.hidden = true;
      this.root.classList.add("is-live");
      this.bind();
      this.goToKeySlice();
      this.say("");
      await this.showHeat();
      this.root.dataset.ready = "true";
    }

    giveUp(text) {
      this.live.hidden = true;
      this.still.hidden = false;
      this.root.classList.remove("is-live");
      this.say(text);
    }

    // --- picture ---
    size() {
      return this.nv.volumes[0].dimsRAS.slice(1, 4);
    }

    applyView() {
      const nv = this.nv;
      nv.opts.crosshairWidth = this.view === "all" ? 1 : 0;
      nv.setSliceType(SLICE[this.view]);
      const picker = this.part("view");
      if (picker) picker.value = this.view;
      this.showSlice();
    }

    voxel() {
      return Array.from(this.nv.frac2vox(this.nv.scene.crosshairPos));
    }

    setVoxel(vox) {
      const size = this.size();
      const inside = vox.map((value, axis) => clamp(Math.round(value), 0, size[axis] - 1));
      this.nv.scene.crosshairPos = this.nv.vox2frac(inside);
      this.nv.drawScene();
      this.showSlice();
    }

    setSlice(index) {
      const vox = this.voxel();
      vox[AXIS[this.view]] = index;
      this.setVoxel(vox);
    }

    stepSlice(step) {
      if (!this.isVolume) return;
      this.setSlice(this.voxel()[AXIS[this.view]] + step);
    }

    showSlice() {
      if (!this.isVolume) return;
      const axis = AXIS[this.view];
      const total = this.size()[axis];
      const index = this.voxel()[axis];
      const slider = this.part("slice");
      slider.max = String(total - 1);
      slider.value = String(index);
      const words = this.data.msgSlice.replace("{n}", index + 1).replace("{total}", total);
      slider.setAttribute("aria-valuetext", words);
      this.position.textContent = words;
    }

    goToKeySlice() {
      const vox = this.size().map((n) => (n - 1) / 2);
      const plane = this.data.keyPlane || "axial";
      if (this.isVolume && this.data.keySlice !== "" && plane in AXIS) {
        vox[AXIS[plane]] = Number(this.data.keySlice);
        this.view = plane;
      }
      this.applyView();
      this.setVoxel(vox);
    }

    // --- window ---
    /* Every change of window or opacity makes NiiVue go through the whole volume: at most once a frame, then. */
    refresh() {
      if (this.frame) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.nv.updateGLVolume();
      });
    }

    applyWindow() {
      const [low, high] = this.window0;
      const width0 = high - low || 1;
      const bright = Number(this.part("brightness").value);
      const contrast = Number(this.part("contrast").value);
      const centre = (low + high) / 2 - ((bright - 50) / 50) * width0 * (this.inverted ? -1 : 1);
      const width = width0 * Math.pow(2, (50 - contrast) / 16);
      const base = this.nv.volumes[0];
      base.cal_min = centre - width / 2;
      base.cal_max = centre + width / 2;
      this.refresh();
    }

    nudge(name, change) {
      const slider = this.part(name);
      slider.value = String(clamp(Number(slider.value) + change, 0, 100));
      this.applyWindow();
    }

    setInvert(on) {
      this.inverted = on;
      this.nv.volumes[0].colormapInvert = on;
      this.part("invert").setAttribute("aria-pressed", String(on));
      this.applyWindow();
    }

    // --- zoom and pan ---
    setZoom(zoom) {
      const nv = this.nv;
      const pan = nv.scene.pan2Dxyzmm;
      const next = clamp(zoom, MIN_ZOOM, MAX_ZOOM);
      const [low, high] = nv.sceneExtentsMinMax(true);
      // Keep what is in the middle of the box in the middle.
      for (let axis = 0; axis < 3; axis += 1) {
        const centre = (low[axis] + high[axis]) / 2;
        const middle = (centre - pan[axis]) / pan[3];
        pan[axis] = centre - next * middle;
      }
      pan[3] = next;
      this.stage.classList.toggle("is-zoomed", next > 1.01);
      nv.drawScene();
    }

    zoomBy(factor) {
      this.setZoom(this.nv.scene.pan2Dxyzmm[3] * factor);
    }

    beginPan() {
      this.nv.uiData.pan2DxyzmmAtMouseDown = Float32Array.from(this.nv.scene.pan2Dxyzmm);
    }

    pan(fromX, fromY, toX, toY) {
      this.nv.dragForPanZoom([fromX, fromY, toX, toY]);
      this.nv.drawScene();
    }

    panStep(dx, dy) {
      const x = this.canvas.width * (this.view === "all" ? 0.25 : 0.5);
      const y = this.canvas.height * (this.view === "all" ? 0.25 : 0.5);
      this.beginPan();
      this.pan(x, y, x + dx * this.canvas.width * 0.1, y + dy * this.canvas.height * 0.1);
    }

    reset() {
      this.part("brightness").value = "50";
      this.part("contrast").value = "50";
      this.nv.scene.pan2Dxyzmm.set([0, 0, 0, 1]);
      this.stage.classList.remove("is-zoomed");
      this.setInvert(false);
      this.goToKeySlice();
    }

    // --- heatmap ---
    async showHeat() {
      const toggle = this.part("heat");
      if (!toggle) return;
      const picker = this.part("finding");
      const url = toggle.checked ? picker.value : "";
      const request = (this.heatRequest += 1);
      if (this.heat && this.heatUrl !== url) {
        this.nv.removeVolume(this.heat);
        this.heat = null;
      }
      this.heatUrl = url;
      if (!url || this.heat) return undefined;
      try {
        const image = await window.niivue.NVImage.loadFromUrl({ url, name: "heatmap.nii.gz", colormap: HEAT });
        if (request !== this.heatRequest) return undefined; // another choice was made meanwhile
        image.cal_max = image.global_max > 1.5 ? 255 : 1;
        image.cal_min = 0.9 * image.cal_max;
        image.colormapType = TRANSLUCENT_BELOW_MIN;
        image.opacity = Number(this.part("opacity").value) / 100;
        this.nv.addVolume(image);
        this.heat = image;
        this.say("");
      } catch (error) {
        this.say(this.data.msgHeatFailed);
      }
      return undefined;
    }

    applyHeat() {
      if (!this.heat) return;
      this.heat.opacity = Number(this.part("opacity").value) / 100;
      this.refresh();
    }

    // --- controls ---
    bind() {
      const on = (name, event, action) => this.part(name)?.addEventListener(event, action);
      on("brightness", "input", () => this.applyWindow());
      on("contrast", "input", () => this.applyWindow());
      on("slice", "input", (event) => this.setSlice(Number(event.target.value)));
      on("view", "change", (event) => {
        this.view = event.target.value;
        this.applyView();
      });
      on("heat", "change", () => this.showHeat());
      on("finding", "change", () => this.showHeat());
      on("opacity", "input", () => this.applyHeat());
      on("invert", "click", () => this.setInvert(!this.inverted));
      const actions = {
        "zoom-in": () => this.zoomBy(1.25),
        "zoom-out": () => this.zoomBy(0.8),
        "slice-back": () => this.stepSlice(-1),
        "slice-on": () => this.stepSlice(1),
        "pan-left": () => this.panStep(-1, 0),
        "pan-right": () => this.panStep(1, 0),
        "pan-up": () => this.panStep(0, -1),
        "pan-down": () => this.panStep(0, 1),
        reset: () => this.reset(),
        full: () => this.toggleFull(),
      };
      for (const [name, action] of Object.entries(actions)) on(name, "click", action);
      for (const button of this.root.querySelectorAll("[data-tool]")) {
        button.addEventListener("click", () => this.setTool(button.dataset.tool));
      }
      if (!document.fullscreenEnabled) this.part("full")?.remove();
      this.setTool(this.tool, false);
      this.bindCanvas();
    }

    toggleFull() {
      if (document.fullscreenElement) document.exitFullscreen();
      else this.live.requestFullscreen().catch(() => undefined);
    }

    setTool(tool, chosen = true) {
      this.tool = tool;
      for (const button of this.root.querySelectorAll("[data-tool]")) {
        button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
      }
      // A finger scrolls the page until somebody chooses a tool or zooms in.
      this.stage.classList.toggle("is-tool", chosen);
    }

    bindCanvas() {
      const canvas = this.canvas;
      canvas.addEventListener("pointerdown", (event) => this.pointerDown(event));
      canvas.addEventListener("pointermove", (event) => this.pointerMove(event));
      for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
        canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
      }
      canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      canvas.addEventListener("keydown", (event) => this.key(event));
      canvas.addEventListener("webglcontextlost", () => this.giveUp(this.data.msgFailed));
      this.wheelLeft = 0;
    }

    place(event) {
      const box = this.canvas.getBoundingClientRect();
      const scale = this.canvas.width / (box.width || 1);
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    }

    pointerDown(event) {
      if (event.pointerType === "mouse" && event.button > 1) return;
      const [x, y] = this.place(event);
      this.pointers.set(event.pointerId, { x, y });
      if (event.pointerType === "mouse") this.canvas.setPointerCapture(event.pointerId);
      this.start2 = null;
      this.drag = {
        x,
        y,
        slice: this.isVolume ? this.voxel()[AXIS[this.view]] : 0,
        bright: Number(this.part("brightness").value),
        contrast: Number(this.part("contrast").value),
        // The middle button or Shift moves the picture whatever the tool.
        tool: event.button === 1 || event.shiftKey ? "move" : this.tool,
      };
      this.beginPan();
      if (this.view === "all" && this.drag.tool === "slice") this.pointAt(x, y);
    }

    pointAt(x, y) {
      // In the three-slice view a press picks the point that the other two slices go through.
      const tile = this.nv.tileIndex(x, y);
      if (tile < 0) return;
      const frac = this.nv.screenXY2TextureFrac(x, y, tile, true);
      if (frac[0] < 0) return;
      this.nv.scene.crosshairPos = frac;
      this.nv.drawScene();
      this.showSlice();
    }

    pointerMove(event) {
      if (!this.pointers.has(event.pointerId)) return;
      const [x, y] = this.place(event);
      this.pointers.set(event.pointerId, { x, y });
      if (this.pointers.size === 2) return void this.pinch();
      if (this.pointers.size > 2 || !this.drag) return;
      const drag = this.drag;
      const dx = (x - drag.x) / this.canvas.width;
      const dy = (y - drag.y) / this.canvas.height;
      if (drag.tool === "move") {
        this.pan(drag.x, drag.y, x, y);
      } else if (drag.tool === "window") {
        this.part("brightness").value = String(clamp(drag.bright - dy * 60, 0, 100));
        this.part("contrast").value = String(clamp(drag.contrast + dx * 60, 0, 100));
        this.applyWindow();
      } else if (this.view === "all") {
        this.pointAt(x, y);
      } else if (this.isVolume) {
        this.setSlice(drag.slice - Math.round(dy * this.size()[AXIS[this.view]]));
      }
    }

    pinch() {
      const [a, b] = [...this.pointers.values()];
      const span = Math.hypot(a.x - b.x, a.y - b.y) || 1;
      const middle = [(a.x + b.x) / 2, (a.y + b.y) / 2];
      if (!this.start2) {
        this.start2 = { span, zoom: this.nv.scene.pan2Dxyzmm[3], middle };
        return;
      }
      this.setZoom((this.start2.zoom * span) / this.start2.span);
      this.beginPan();
      this.pan(this.start2.middle[0], this.start2.middle[1], middle[0], middle[1]);
      this.start2.middle = middle;
      this.drag = null;
    }

    wheel(event) {
      // Without focus the wheel belongs to the page.
      if (document.activeElement !== this.canvas && !event.ctrlKey) return;
      event.preventDefault();
      if (event.ctrlKey || !this.isVolume) return void this.zoomBy(Math.exp(-event.deltaY * 0.0015));
      this.wheelLeft += event.deltaMode === 1 ? event.deltaY * 30 : event.deltaY;
      const steps = Math.trunc(this.wheelLeft / 30);
      if (!steps) return;
      this.wheelLeft -= steps * 30;
      this.stepSlice(clamp(-steps, -5, 5));
    }

    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const keys = {
        "+": () => this.zoomBy(1.25),
        "=": () => this.zoomBy(1.25),
        "-": () => this.zoomBy(0.8),
        0: () => this.reset(),
        i: () => this.setInvert(!this.inverted),
        h: () => this.part("heat")?.click(),
        b: () => this.nudge("brightness", event.shiftKey ? -4 : 4),
        c: () => this.nudge("contrast", event.shiftKey ? -4 : 4),
        PageUp: () => this.stepSlice(1),
        PageDown: () => this.stepSlice(-1),
        ArrowLeft: () => this.panStep(-1, 0),
        ArrowRight: () => this.panStep(1, 0),
        ArrowUp: () => (this.isVolume && !event.shiftKey ? this.stepSlice(1) : this.panStep(0, -1)),
        ArrowDown: () => (this.isVolume && !event.shiftKey ? this.stepSlice(-1) : this.panStep(0, 1)),
      };
      const action = keys[event.key] || keys[event.key.toLowerCase()];
      if (!action) return;
      event.preventDefault();
      action();
    }
  }

  function setUp(root) {
    if (!hasWebGL2()) {
      const note = root.querySelector("[data-role=no-webgl]");
      if (note) note.hidden = false;
      return;
    }
    const viewer = new ScanViewer(root);
    const open = root.querySelector("[data-role=open]");
    const begin = () => {
      if (open) open.hidden = true;
      return viewer.start();
    };
    if (Number(root.dataset.bytes || 0) > LOAD_BY_ITSELF_BYTES && open) {
      open.hidden = false;
      open.addEventListener("click", begin, { once: true });
      return;
    }
    const watch = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watch.disconnect();
        begin();
      },
      { rootMargin: "400px" },
    );
    watch.observe(root);
  }

  document.querySelectorAll("[data-pmi-viewer]").forEach(setUp);
})();
