/**
 * Domains' names: what one may be, and one for a domain that was given none. A name is kept in the domain's record
 * (saved.ts), which outlives domain 0; a guest cannot change its own.
 */
import { NAME_BYTES } from "../../api/requests/domains.ts";
import { BuildError } from "../builder/build-error.ts";
import { encodeUtf8 } from "../text.ts";

/** A name that is one as it is. */
const PLAIN = /^[a-z][!-~]*$/i;
/** Such a name that a domain was given last, without a number: boot modules are made domains of again and again. */
let plain = "";

function isPlain(name: string): boolean {
  if (name === plain) return true;
  if (!PLAIN.test(name)) return false;
  plain = name;
  return true;
}

/**
 * Refuses what cannot be a name.
 * @throws BuildError if it is empty, too long, a number, or has blanks or control characters
 */
export function checkName(name: string): void {
  const bytes = encodeUtf8(name);
  if (bytes.length === 0) throw new BuildError("a domain's name must not be empty");
  if (bytes.length > NAME_BYTES) {
    throw new BuildError(`the name "${name}" is too long: ${bytes.length} bytes, ${NAME_BYTES} at most`);
  }
  if (bytes.some((byte) => byte <= 0x20 || byte === 0x7f)) {
    throw new BuildError(`the name "${name}" has blanks or control characters in it`);
  }
  if (/^[0-9]+$/.test(name)) throw new BuildError(`the name "${name}" is a number: domains could be confused`);
}

/**
 * A name made from `base`, shortened to fit: `base` itself, or with the domain's id behind it, or something behind that
 * until it is not taken.
 */
export function freeName(base: string, id: number, taken: (name: string) => boolean): string {
  // Nearly always; what is below takes many times as long.
  if (isPlain(base) && base.length + 1 + String(id).length <= NAME_BYTES) {
    if (!taken(base)) return base;
    const numbered = `${base}-${id}`;
    if (!taken(numbered)) return numbered;
  }
  const safe = base.replace(/[\s\u0000-\u001f\u007f]/g, "_").replace(/^[0-9]+$/, "guest-$&") || "guest";
  for (let ending = ""; ; ending += ending === "" ? `-${id}` : "x") {
    let stem = safe;
    while (encodeUtf8(stem + ending).length > NAME_BYTES) stem = Array.from(stem).slice(0, -1).join("");
    if (!taken(stem + ending)) return stem + ending;
  }
}

/** The id that a user means; undefined for what is a name: names are no decimal digits, but "0x1" and "1e0" may be. */
export function idOf(which: string | number): number | undefined {
  if (typeof which === "number") return which;
  return /^[0-9]+$/.test(which) ? Number(which) : undefined;
}
