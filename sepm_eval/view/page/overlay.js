"use strict";
// A picture with the cells of visual tokens covered, block by block, as draw_dropped of report/overlay.py draws it.
{
  const ALL = -1;

  const bit = (mask, cell) => mask !== "" && (parseInt(mask[cell >> 2], 16) >> (3 - (cell & 3)) & 1) === 1;

  // What a picture of this size and its blocks cover together: tokens of padding lie beside the picture.
  const extent = (size, blocks) => {
    const boxes = [...(size ? [[0, 0, ...size]] : []), ...blocks.map((block) => block.box)];
    const edge = (side, pick) => pick(...boxes.map((box) => box[side]));
    return boxes.length
      ? { left: edge(0, Math.min), top: edge(1, Math.min), right: edge(2, Math.max), bottom: edge(3, Math.max) }
      : { left: 0, top: 0, right: 1, bottom: 1 };
  };

  const draw = (canvas, whole, blocks, how) => {
    const factor = how.side / Math.max(whole.right - whole.left, whole.bottom - whole.top);
    canvas.width = Math.max(1, Math.round((whole.right - whole.left) * factor));
    canvas.height = Math.max(1, Math.round((whole.bottom - whole.top) * factor));
    const pen = canvas.getContext("2d");
    const shown = blocks.filter((_, number) => how.block === ALL || how.block === number);
    pen.globalAlpha = shown.length > 1 ? 0.75 : 1; // where blocks lie over one another, both are seen
    for (const { box: [left, top, right, bottom], rows, columns, mask } of shown) {
      const x = (column) => Math.round((left + (right - left) * column / columns - whole.left) * factor);
      const y = (row) => Math.round((top + (bottom - top) * row / rows - whole.top) * factor);
      pen.fillStyle = "#1e1e1e";
      for (let cell = 0; cell < rows * columns; cell += 1) {
        if (bit(mask, cell) === how.kept) continue;
        const [row, column] = [Math.floor(cell / columns), cell % columns];
        pen.fillRect(x(column), y(row), Math.max(1, x(column + 1) - x(column) - 1), Math.max(1, y(row + 1) - y(row) - 1));
      }
      if (how.frames) {
        pen.strokeStyle = "#e8a33d";
        pen.strokeRect(x(0) + 0.5, y(0) + 0.5, x(columns) - x(0) - 1, y(rows) - y(0) - 1);
      }
    }
  };

  // A picture with an overlay. "how": side in pixels, block (ALL or its number), kept (cover what was kept and not what
  // was dropped), opacity from 0 to 1, frames (outlines of the blocks).
  view.overlay = (item, answer, how, alt) => {
    const turned = view.list.pictures.turned?.includes(item);
    const blocks = turned ? [] : answer?.blocks ?? []; // they would lie beside what they cover
    const canvas = view.element("canvas", { "aria-hidden": "true" });
    const image = view.element("img", { alt, decoding: "async" });
    const stage = view.element("div", { class: "stage" });
    const arrange = (size) => {
      const whole = extent(size, blocks);
      const [width, height] = [whole.right - whole.left, whole.bottom - whole.top];
      stage.style.aspectRatio = `${width} / ${height}`;
      stage.style.setProperty("--ratio", width / height);
      if (size) {
        const place = { left: -whole.left / width, top: -whole.top / height, width: size[0] / width, height: size[1] / height };
        for (const [side, part] of Object.entries(place)) image.style[side] = `${100 * part}%`;
      }
      canvas.style.opacity = how.opacity;
      if (blocks.length) draw(canvas, whole, blocks, how);
    };
    const address = view.pictureOf(item, false);
    arrange(null);
    stage.append(image, canvas);
    if (turned && how.frames) {
      const told = "The file says to turn this picture. Browsers do, models do not: sepm-eval view shows it as it was seen, with its tokens.";
      stage.append(view.element("p", { class: "gone" }, told));
    }
    const gone = () => { image.remove(); stage.prepend(view.element("p", { class: "gone" }, "picture not at hand")); };
    image.addEventListener("load", () => arrange([image.naturalWidth, image.naturalHeight]));
    image.addEventListener("error", gone);
    if (address) image.src = address;
    else gone();
    return stage;
  };

  view.thumbnail = (item) => {
    const frame = view.element("div", { class: "thumb" });
    const address = view.pictureOf(item, true);
    if (!address) return frame;
    const image = view.element("img", { alt: "", decoding: "async", src: address });
    image.addEventListener("error", () => image.remove());
    frame.append(image);
    return frame;
  };

  view.ALL_BLOCKS = ALL;
}
