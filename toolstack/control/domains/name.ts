/**
 * A domain's name is kept in its handle, the 16 bytes that Xen stores with every domain for its toolstack. So names
 * outlive a restart of domain 0, and a guest cannot change its own. Hence their greatest length: 16 bytes of UTF-8.
 * A handle of zeroes marks a domain that was never finished.
 */
import { BuildError } from "../builder/build-error.ts";
import { HANDLE_SIZE } from "../hypercalls/domctl.ts";
import { decodeCString, encodeUtf8 } from "../text.ts";

/**
 * The handle for a name.
 * @throws BuildError if the name is empty, too long or unprintable
 */
export function handleOfName(name: string): Uint8Array {
  const bytes = encodeUtf8(name);
  if (bytes.length === 0) throw new BuildError("a domain's name must not be empty");
  if (bytes.length > HANDLE_SIZE) {
    throw new BuildError(`the name "${name}" is too long: ${bytes.length} bytes, ${HANDLE_SIZE} at most`);
  }
  if (bytes.some((byte) => byte <= 0x20 || byte === 0x7f)) {
    throw new BuildError(`the name "${name}" has blanks or control characters in it`);
  }
  if (/^[0-9]+$/.test(name)) throw new BuildError(`the name "${name}" is a number: domains could be confused`);
  const handle = new Uint8Array(HANDLE_SIZE);
  handle.set(bytes);
  return handle;
}

/** The name in a handle; empty for a domain that was never finished. */
export function nameOfHandle(handle: number[]): string {
  return decodeCString(new Uint8Array(Uint32Array.from(handle).buffer));
}

/**
 * A name made from `base`, shortened to fit: `base` itself, or with the domain's id behind it, or something behind that
 * until it is not taken.
 */
export function freeName(base: string, id: number, taken: (name: string) => boolean): string {
  const safe = base.replace(/[\s\u0000-\u001f\u007f]/g, "_").replace(/^[0-9]+$/, "guest-$&") || "guest";
  for (let ending = ""; ; ending += ending === "" ? `-${id}` : "x") {
    let stem = safe;
    while (encodeUtf8(stem + ending).length > HANDLE_SIZE) stem = Array.from(stem).slice(0, -1).join("");
    if (!taken(stem + ending)) return stem + ending;
  }
}

/** Each byte in hexadecimal. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** The domain's UUID: the bytes of its handle, as libxl has it. */
export function uuidOfName(name: string): string {
  const handle = handleOfName(name);
  let uuid = "";
  for (let i = 0; i < HANDLE_SIZE; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) uuid += "-";
    uuid += HEX[handle[i]!]!;
  }
  return uuid;
}
