"""Names for screen readers, and keys, where Gradio's before-and-after picture has none: a script of `facemask app`."""

RESULT_ID = "result"
"""Id of the before-and-after picture on the page."""

SCRIPT = """<script>
(() => {
  const STEP = 5, SHARE = 100;  // % of the width
  const drag = (line, by) => {
    const handle = line.querySelector(".inner") ?? line, box = handle.getBoundingClientRect();
    const send = (target, kind, x) => target.dispatchEvent(new MouseEvent(kind,
      {view: window, bubbles: true, cancelable: true, clientX: x, clientY: box.top + box.height / 2}));
    const x = box.left + box.width / 2;
    send(handle, "mousedown", x);
    send(window, "mousemove", x + by);
    send(window, "mouseup", x + by);
  };
  const name = () => {
    const pictures = document.querySelectorAll("#RESULT [data-testid=imageslider-image]");
    pictures.forEach((picture, place) => { picture.alt = place ? "After" : "Before"; });
    const line = document.querySelector("#RESULT [data-testid=slider]");
    if (!line || line.tabIndex === 0) return;
    const width = () => line.parentElement.clientWidth;
    const place = () => Math.round(SHARE * new DOMMatrix(getComputedStyle(line).transform).e / width());
    const tell = () => line.setAttribute("aria-valuenow", Math.min(SHARE, Math.max(0, place())));
    line.tabIndex = 0;
    line.setAttribute("role", "slider");
    line.setAttribute("aria-label", "Line between before and after");
    line.setAttribute("aria-valuemin", 0);
    line.setAttribute("aria-valuemax", SHARE);
    tell();
    new MutationObserver(tell).observe(line, {attributes: true, attributeFilter: ["style"]});
    line.addEventListener("keydown", event => {
      const steps = {ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP}[event.key];
      if (!steps) return;
      event.preventDefault();
      drag(line, steps * width() / SHARE);
    });
  };
  new MutationObserver(name).observe(document.documentElement, {childList: true, subtree: true});
})();
</script>""".replace("RESULT", RESULT_ID)
"""For the page's head: Gradio's own way, its parameter js, is forbidden by the page's content security policy."""
