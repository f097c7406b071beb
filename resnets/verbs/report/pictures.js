"use strict";
// The plane: arrow keys go to the nearest point in their direction; a point near the right or the upper edge shows its picture
// on the other side. And Escape closes the pictures of a cell, and goes back to its number.
for (const plane of document.querySelectorAll(".plane")) {
  const points = [...plane.children];
  const at = new Map(points.map(point => [point, [parseFloat(point.style.left), parseFloat(point.style.top)]]));
  for (const [point, [x, y]] of at) {
    point.classList.toggle("left", x > 75);
    point.classList.toggle("low", y < 30);
  }
  const ways = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  plane.addEventListener("keydown", event => {
    const way = ways[event.key], here = at.get(document.activeElement);
    if (!way || !here) return;
    event.preventDefault();
    let best = null, least = Infinity;
    for (const [point, [x, y]] of at) {
      const along = (x - here[0]) * way[0] + (y - here[1]) * way[1];
      const across = Math.abs((x - here[0]) * way[1]) + Math.abs((y - here[1]) * way[0]);
      if (along > 0 && across <= 2 * along && along + 2 * across < least && point.getClientRects().length) {
        [best, least] = [point, along + 2 * across];
      }
    }
    if (best) {
      document.activeElement.tabIndex = -1;
      best.tabIndex = 0;
      best.focus();
    }
  });
}
document.addEventListener("keydown", event => {
  const open = event.key === "Escape" && document.querySelector(".cells > :target");
  if (!open) return;
  location.hash = open.dataset.back;
  document.getElementById(open.dataset.back).focus();
});
