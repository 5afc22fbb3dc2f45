// Saved traces, from the file button or dropped anywhere on the page.

import { parse } from "./recording.js";

/**
 * @param {HTMLInputElement} input
 * @param {(recording: import("./recording.js").Recording, name: string) => void} opened
 * @param {(message: string) => void} failed
 */
export function opens(input, opened, failed) {
  const take = async (/** @type {FileList|null|undefined} */ files) => {
    for (const file of files ?? []) {
      try {
        opened(parse(await file.text(), file.name), file.name);
      } catch (error) {
        failed(/** @type {Error} */ (error).message);
      }
    }
  };
  input.addEventListener("change", async () => {
    await take(input.files);
    input.value = ""; // the same file can be opened again
  });
  const { body } = document;
  let inside = 0;
  const mark = (/** @type {number} */ by) => body.classList.toggle("dropping", (inside += by) > 0);
  body.addEventListener("dragenter", () => mark(1));
  body.addEventListener("dragleave", () => mark(-1));
  body.addEventListener("dragover", (event) => event.preventDefault());
  body.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-inside);
    void take(event.dataTransfer?.files);
  });
}
