/* One picture of the reading room: a scan, its heatmap, its measurements. NiiVue draws; it handles no events itself. */
(function () {
  "use strict";

  const { clamp } = window.pmiBrowser;
  const { Measures, GreyValues, GreyWindow, AXIS } = window.pmiRoom;
  const HEAT = "pmi-heat";
  // As in the still pictures: black, violet, red, orange, yellow; told apart in every common colour vision.
  const HEAT_COLOURS = {
    R: [0, 87, 188, 249, 252],
    G: [0, 16, 55, 142, 255],
    B: [4, 110, 84, 9, 164],
    A: [0, 255, 255, 255, 255],
    I: [0, 64, 128, 191, 255],
  };
  const SLICE = { axial: 0, coronal: 1, sagittal: 2, all: 3 };
  const MIN_ZOOM = 0.5;
  const MAX_ZOOM = 16;

  class Pane {
    constructor(root, room) {
      this.root = root;
      this.room = room;
      this.words = room.words;
      this.canvas = root.querySelector("canvas");
      this.stage = root.querySelector(".room-stage");
      this.still = root.querySelector(".room-still");
      this.slider = root.querySelector("[data-pane=slice]");
      this.svg = root.querySelector(".room-overlay");
      this.measures = new Measures(this, this.svg);
      this.ready = false;
      this.heatRequest = 0;
      this.loadRequest = 0;
    }

    label(name) {
      return this.root.querySelector(`[data-label=${name}]`);
    }

    put(name, text) {
      const place = this.label(name);
      place.textContent = text;
      place.hidden = !text;
    }

    /* --- opening --- */
    makeViewer({ volume, oriented }) {
      return new window.niivue.Niivue({
        interactive: false,
        dragAndDropEnabled: false,
        isRadiologicalConvention: volume,
        isOrientationTextVisible: oriented,
        sagittalNoseLeft: true,
        isColorbar: false,
        show3Dcrosshair: false,
        crosshairColor: [0.35, 0.75, 1, 0.9],
        crosshairWidth: 0,
        multiplanarShowRender: 0,
        multiplanarLayout: 2,
        fontColor: [0.9, 0.9, 0.9, 1],
        backColor: [0, 0, 0, 1],
        loadingText: "",
        logLevel: "error",
      });
    }

    async attach(info) {
      const nv = this.makeViewer(info);
      await nv.attachToCanvas(this.canvas, false);
      this.canvas.setAttribute("tabindex", "0");
      nv.addColormap(HEAT, HEAT_COLOURS);
      const draw = nv.drawScene.bind(nv);
      nv.drawScene = () => {
        draw();
        this.afterDraw();
      };
      this.nv = nv;
    }

    /* From here on the pane stands for this scan: nothing of the one before stays in view or arrives later. Returns
       the number that `open` asks for. */
    take(info) {
      this.info = info;
      this.ready = false;
      this.heatRequest += 1;
      delete this.root.dataset.ready;
      delete this.root.dataset.heat;
      this.heat = null;
      this.heatUrl = "";
      this.flipped = false;
      this.measures.clear();
      if (this.nv) this.nv.volumes = [];
      for (const name of ["state", "mirrored", "slice", "zoom", "window", "value", "heat"]) this.put(name, "");
      this.stage.hidden = true;
      this.still.hidden = this.still.dataset.scan !== info.id;
      this.showInfo();
      return (this.loadRequest += 1);
    }

    isNewest(request) {
      return request === this.loadRequest;
    }

    async open(request) {
      if (!this.isNewest(request)) return;
      const { info } = this;
      this.put("state", this.words.loading);
      this.stage.hidden = false;
      this.still.hidden = true;
      this.attached ??= this.attach(info);
      await this.attached;
      if (!this.isNewest(request)) return;
      this.nv.drawScene();
      if (info.side > this.nv.uiData.max3D) throw new Error("too large for this graphics card");
      // Not NiiVue's loadVolumes: it would lay a scan that arrives late over the one that is wanted now.
      const image = await window.niivue.NVImage.loadFromUrl({ url: info.url, name: "scan.nii.gz", colormap: "gray" });
      if (!this.isNewest(request)) return;
      this.nv.opts.isRadiologicalConvention = info.volume;
      this.nv.opts.isOrientationTextVisible = info.oriented;
      this.nv.volumes = [];
      this.nv.addVolume(image);
      this.values = new GreyValues(this.nv.volumes[0]);
      this.window = new GreyWindow(info.presets);
      this.inverted = false;
      this.ready = true;
      this.put("state", "");
      this.goToKeySlice();
      this.applyWindow();
      this.root.dataset.ready = "true";
    }

    giveUp() {
      this.ready = false;
      delete this.root.dataset.ready;
      this.loadRequest += 1;
      this.showStill();
      this.put("state", this.words.failed);
    }

    /* The page came with the picture of the scan that was chosen then, which may be another one than this. */
    showStill() {
      const { info, still, title } = this;
      this.stage.hidden = true;
      this.slider.closest(".room-slider").hidden = true;
      still.hidden = false;
      if (still.dataset.scan === info.id) return;
      still.dataset.scan = info.id;
      // A new element: the old one would show the other scan until the new picture is there.
      const image = new Image();
      image.alt = title;
      image.src = info.still;
      still.querySelector("img").replaceWith(image);
      still.querySelector("figcaption strong").textContent = title;
      const words = still.querySelector("[data-still-words]");
      if (!words) return;
      const text = words.dataset.stillWords.replace("{n}", info.keySlice + 1).replace("{total}", info.slices);
      words.textContent = info.keySlice === null ? "" : text;
    }

    get title() {
      return `${this.info.label}, ${this.info.date}`;
    }

    showInfo() {
      const { info } = this;
      this.put("what", this.title);
      this.canvas.setAttribute("aria-label", this.title);
      this.slider.closest(".room-slider").hidden = !info.volume;
      this.put("unit", info.spacing ? info.unit : this.words.noSpacing);
    }

    /* --- where things are --- */
    size() {
      return Array.from(this.nv.volumes[0].dimsRAS.slice(1, 4));
    }

    unit() {
      const steps = this.nv.volumes[0].pixDimsRAS.slice(1, 4);
      return { known: Boolean(this.info.spacing), spacing: Array.from(steps) };
    }

    pixelScale() {
      return this.canvas.width / (this.canvas.clientWidth || 1);
    }

    /* A point of the volume (shares of its axes) on the canvas, in the tile that shows `view`. */
    projection(frac, view) {
      const tile = this.nv.screenSlices.find((slice) => slice.axCorSag === SLICE[view]);
      if (!tile || !tile.fovMM) return null;
      const mm = this.nv.frac2mm(frac);
      const across = { axial: [mm[0], mm[1]], coronal: [mm[0], mm[2]], sagittal: [mm[1], mm[2]] }[view];
      let [left, top, width, height] = tile.leftTopWidthHeight;
      let x = (across[0] - tile.leftTopMM[0]) / tile.fovMM[0];
      const y = 1 - (across[1] - tile.leftTopMM[1]) / tile.fovMM[1];
      if (width < 0) {
        left += width;
        width = -width;
        x = 1 - x;
      }
      return [left + x * width, top + y * height];
    }

    /* The point of the volume under a place of the canvas, and the plane it was seen in; null beside the picture. */
    pointAt(x, y) {
      const tile = this.nv.tileIndex(x, y);
      if (tile < 0) return null;
      const frac = this.nv.screenXY2TextureFrac(x, y, tile, true);
      if (!frac || frac[0] < 0) return null;
      const view = Object.keys(AXIS).find((name) => SLICE[name] === this.nv.screenSlices[tile].axCorSag);
      const point = Array.from(frac);
      return view ? { frac: point, view, index: this.indexOf(point, view) } : null;
    }

    indexOf(frac, view) {
      const axis = AXIS[view];
      return clamp(Math.floor(frac[axis] * this.size()[axis]), 0, this.size()[axis] - 1);
    }

    isShown(item) {
      if (!this.ready || (this.view !== "all" && this.view !== item.view)) return false;
      return this.voxel()[AXIS[item.view]] === item.index;
    }

    /* --- slices --- */
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

    get axis() {
      return this.view === "all" ? AXIS[this.mainPlane] : AXIS[this.view];
    }

    get mainPlane() {
      return this.info.keyPlane in AXIS ? this.info.keyPlane : "axial";
    }

    setSlice(index) {
      const vox = this.voxel();
      vox[this.axis] = index;
      this.setVoxel(vox);
    }

    step(by) {
      if (this.info.volume) this.setSlice(this.voxel()[this.axis] + by);
    }

    setView(view) {
      this.view = this.info.volume && view in SLICE ? view : "axial";
      this.nv.opts.crosshairWidth = this.view === "all" ? 1 : 0;
      this.nv.setSliceType(SLICE[this.view]);
      this.showSlice();
    }

    showSlice() {
      this.root.dataset.slice = String(this.voxel()[this.axis]);
      if (!this.info.volume) return this.put("slice", "");
      const total = this.size()[this.axis];
      const index = this.voxel()[this.axis];
      this.slider.max = String(total - 1);
      this.slider.value = String(index);
      const plane = this.words.planes[this.view === "all" ? this.mainPlane : this.view];
      const text = this.words.slice.replace("{n}", index + 1).replace("{total}", total);
      this.slider.setAttribute("aria-valuetext", text);
      return this.put("slice", `${plane} ${text}`);
    }

    goToKeySlice() {
      const vox = this.size().map((n) => (n - 1) / 2);
      if (this.info.volume && this.info.keySlice !== null) vox[AXIS[this.mainPlane]] = this.info.keySlice;
      this.setView(this.info.volume ? this.mainPlane : "axial");
      this.setVoxel(vox);
    }

    /* --- grey values --- */
    /* A change of window or opacity makes NiiVue go through the whole volume: at most once a frame, then. */
    refresh() {
      if (this.frame) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        if (this.ready) this.nv.updateGLVolume();
      });
    }

    applyWindow() {
      const base = this.nv.volumes[0];
      const [low, high] = this.window.limits(this.values);
      base.cal_min = low;
      base.cal_max = high;
      base.colormapInvert = this.inverted;
      const width = high - low;
      const digits = width < 10 ? 2 : 0;
      const numbers = this.words.window
        .replace("{w}", width.toFixed(digits))
        .replace("{l}", ((low + high) / 2).toFixed(digits));
      this.put("window", `${numbers} ${this.info.greyUnit}${this.inverted ? `, ${this.words.inverted}` : ""}`);
      this.root.dataset.window = `${low.toFixed(3)} ${high.toFixed(3)} ${this.inverted}`;
      this.refresh();
    }

    setFlip(on) {
      this.flipped = on && !this.info.volume;
      this.nv.opts.isRadiologicalConvention = this.info.volume || this.flipped;
      this.put("mirrored", this.flipped ? this.words.mirrored : "");
      this.nv.drawScene();
    }

    /* --- zoom and pan --- */
    get zoom() {
      return this.nv.scene.pan2Dxyzmm[3];
    }

    setZoom(zoom) {
      const pan = this.nv.scene.pan2Dxyzmm;
      const next = clamp(zoom, MIN_ZOOM, MAX_ZOOM);
      const [low, high] = this.nv.sceneExtentsMinMax(true);
      // What is in the middle stays in the middle.
      for (let axis = 0; axis < 3; axis += 1) {
        const centre = (low[axis] + high[axis]) / 2;
        pan[axis] = centre - (next * (centre - pan[axis])) / pan[3];
      }
      pan[3] = next;
      this.nv.drawScene();
    }

    beginPan() {
      this.nv.uiData.pan2DxyzmmAtMouseDown = Float32Array.from(this.nv.scene.pan2Dxyzmm);
    }

    pan(fromX, fromY, toX, toY) {
      this.nv.dragForPanZoom([fromX, fromY, toX, toY]);
      this.nv.drawScene();
    }

    panStep(dx, dy) {
      const share = this.view === "all" ? 0.25 : 0.5;
      const [x, y] = [this.canvas.width * share, this.canvas.height * share];
      this.beginPan();
      this.pan(x, y, x + dx * this.canvas.width * 0.1, y + dy * this.canvas.height * 0.1);
    }

    /* Zoom and place as shares of the picture, so that another scan can take them over. */
    getPlace() {
      const [low, high] = this.nv.sceneExtentsMinMax(true);
      const pan = this.nv.scene.pan2Dxyzmm;
      const shares = [0, 1, 2].map((axis) => {
        const centre = (low[axis] + high[axis]) / 2;
        const middle = (centre - pan[axis]) / pan[3];
        return (middle - centre) / (high[axis] - low[axis] || 1);
      });
      return { shares, zoom: pan[3] };
    }

    setPlace({ shares, zoom }) {
      const [low, high] = this.nv.sceneExtentsMinMax(true);
      const pan = this.nv.scene.pan2Dxyzmm;
      shares.forEach((share, axis) => {
        const centre = (low[axis] + high[axis]) / 2;
        pan[axis] = centre - zoom * (centre + share * (high[axis] - low[axis]));
      });
      pan[3] = zoom;
      this.nv.drawScene();
    }

    reset() {
      this.nv.scene.pan2Dxyzmm.set([0, 0, 0, 1]);
      this.window.reset();
      this.inverted = false;
      this.setFlip(false);
      this.goToKeySlice();
      this.applyWindow();
    }

    /* --- heatmap --- */
    async showHeat(condition, opacity) {
      if (!this.ready) return;
      const found = this.info.heat.find((one) => one.condition === condition);
      const url = found ? found.url : "";
      const request = (this.heatRequest += 1);
      this.put("heat", condition && !found ? this.words.noHeat : "");
      if (this.heat && this.heatUrl !== url) {
        this.nv.removeVolume(this.heat);
        this.heat = null;
        this.root.dataset.heat = "";
      }
      this.heatUrl = url;
      if (!url || this.heat) return;
      try {
        const image = await window.niivue.NVImage.loadFromUrl({ url, name: "heatmap.nii.gz", colormap: HEAT });
        if (request !== this.heatRequest || !this.ready) return;
        image.cal_max = image.global_max > 1.5 ? 255 : 1;
        image.cal_min = 0.9 * image.cal_max;
        image.colormapType = 1; // translucent below cal_min
        image.opacity = opacity;
        this.nv.addVolume(image);
        this.heat = image;
        this.root.dataset.heat = condition;
      } catch (error) {
        if (request === this.heatRequest) this.put("heat", this.words.heatFailed);
      }
    }

    setOpacity(opacity) {
      if (!this.heat) return;
      this.heat.opacity = opacity;
      this.refresh();
    }

    afterDraw() {
      const { canvas } = this;
      this.svg.setAttribute("viewBox", `0 0 ${canvas.width} ${canvas.height}`);
      if (!this.ready) return;
      this.put("zoom", `${this.zoom.toFixed(1)} x`);
      this.root.dataset.zoom = this.zoom.toFixed(3);
      this.measures.draw();
    }
  }

  window.pmiRoom = { ...window.pmiRoom, Pane };
})();
