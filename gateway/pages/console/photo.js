// Photos of this tab: what is sent, what is shown, and what had to be changed before.

/** Most bytes of an image that the service takes. */
export const MAX_BYTES = 2 * 1024 * 1024;

/** The kinds of images that the service reads. */
const SENT_AS_THEY_ARE = ["image/jpeg", "image/png", "image/bmp"];

/** Longest side of a photo that is made smaller, in pixels: enough for any face that the service finds. */
const SIDES = [3000, 2400, 1800, 1280];
const QUALITY = 0.9;

/** Brands of files whose pictures are HEIC (ISO/IEC 23008-12, annex B.4): Safari shows them, most browsers do not. */
const HEIC = ["heic", "heix", "heim", "heis", "hevc", "hevx"];

/** A file that this browser cannot show, so that it cannot be converted either. isHeic: whether it is a HEIC photo. */
export class Unreadable extends Error {
  constructor(name, isHeic = false) {
    super(name);
    this.isHeic = isHeic;
  }
}

/** Return whether a file is a photo by its name or its type. Few systems know the type of HEIC. */
export function isPhoto(file) {
  return file.type.startsWith("image/") || /\.hei[cf]$/i.test(file.name);
}

/**
 * A photo. name: of its file. blob: what is sent. bitmap: its pixels, upright. changed: null, or what became of a file
 * that the service would not take: {from, to} in bytes and {type}.
 */
class Photo {
  constructor(name, blob, bitmap, changed) {
    Object.assign(this, { name, blob, bitmap, changed });
  }

  get width() {
    return this.bitmap.width;
  }

  get height() {
    return this.bitmap.height;
  }

  /** Return a new canvas with the part of the photo around a box, as wide as high, at most `side` pixels. */
  crop([left, top, width, height], side, margin = 0.25) {
    const size = Math.max(width, height) * (1 + 2 * margin);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.min(side, Math.ceil(size));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    const x = left + width / 2 - size / 2;
    const y = top + height / 2 - size / 2;
    context.drawImage(this.bitmap, x, y, size, size, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  /** Return a photo of one face alone, with enough around it to be found again. */
  async alone(box) {
    const canvas = this.crop(box, 1024, 0.75);
    return new Photo(this.name, await encoded(canvas), await createImageBitmap(canvas), null);
  }
}

/** Open a file. Throws Unreadable. */
export async function openPhoto(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Unreadable(file.name, await isHeic(file));
  }
  const name = file.name ?? "";
  if (SENT_AS_THEY_ARE.includes(file.type) && file.size <= MAX_BYTES) return new Photo(name, file, bitmap, null);
  for (const side of SIDES) {
    const smaller = await scaled(bitmap, side);
    const blob = await encoded(smaller);
    if (blob.size <= MAX_BYTES) {
      const changed = { from: file.size, to: blob.size, type: file.type || name.split(".").pop() };
      return new Photo(name, blob, await createImageBitmap(smaller), changed);
    }
  }
  throw new Unreadable(name);
}

/** Return whether a file says in its first box that its pictures are HEIC, whatever its name is. */
async function isHeic(file) {
  const first = String.fromCharCode(...new Uint8Array(await file.slice(0, 64).arrayBuffer()));
  return first.slice(4, 8) === "ftyp" && HEIC.some((brand) => first.slice(8).includes(brand));
}

async function scaled(bitmap, side) {
  const factor = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * factor);
  canvas.height = Math.round(bitmap.height * factor);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff"; // behind transparent pixels, which a JPEG has not
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function encoded(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}
