// A photo from the camera of this machine.
import { h } from "./dom.js";
import { openDialog } from "./dialog.js";
import { text } from "./i18n.js";

/** Return a photo as a Blob, or null if none was taken. */
export async function takePhoto() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
  } catch {
    await openDialog("camera", [h("p", {}, text("no-camera"))], [["close", null]]);
    return null;
  }
  const video = h("video", { autoplay: true, playsinline: true, muted: true, class: "camera" });
  video.muted = true;
  video.srcObject = stream;
  try {
    const taken = await openDialog("camera", [video], [["cancel", null], ["take-photo", "take"]]);
    return taken === "take" ? await still(video) : null;
  } finally {
    for (const track of stream.getTracks()) track.stop();
  }
}

function still(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  if (canvas.width === 0) return null;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
}
