/* What the browser can do, and small helpers, for PMI's other scripts. Loaded before them. */
(function () {
  "use strict";

  function hasWebGL2() {
    try {
      return Boolean(document.createElement("canvas").getContext("webgl2"));
    } catch (error) {
      return false;
    }
  }

  function loadScript(src) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = src;
      script.onload = resolve;
      script.onerror = () => reject(new Error("script"));
      document.head.append(script);
    });
  }

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  window.pmiBrowser = { hasWebGL2, loadScript, clamp };
})();
