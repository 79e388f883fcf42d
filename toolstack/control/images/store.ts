/**
 * Images that were uploaded: each lies in consecutive pages, and has an entry in the first page of their memory. An entry is written
 * before the first page of an image is touched and says what is complete, so that a later domain 0 finds the images, and frees the pages
 * of those that are not.
 */
import { DOM0_IMAGES, DOM0_IMAGES_END } from "../../../abi/domain0-layout.ts";
import { CommandError } from "../../api/command-error.ts";
import { bytesOfHex, hexOf } from "../../api/hex.ts";
import { formatBytes } from "../../api/sizes.ts";
import { WindowImage } from "../builder/image.ts";
import { memory } from "../host.ts";
import { releaseOwnMemory } from "../hypercalls/memory.ts";
import { canWrite } from "../hypercalls/xen-version.ts";
import { Task } from "../tasks.ts";
import { decodeUtf8, encodeUtf8 } from "../text.ts";
import { PAGE_SIZE, words } from "../window.ts";

/** An entry: state, first page, pages that were touched, size in bytes; then the hash, and the name with its length in front. */
const ENTRY_BYTES = 128;
const HASH_AT = 16;
const HASH_BYTES = 32;
const NAME_AT = 48;
export const IMAGE_NAME_BYTES = ENTRY_BYTES - NAME_AT - 1;
/** The place of one more entry is where it is tried whether the page can be had: what is there is lost. */
const IMAGES_MOST = PAGE_SIZE / ENTRY_BYTES - 1;
const TRIED = DOM0_IMAGES + IMAGES_MOST * ENTRY_BYTES;
const FIRST = DOM0_IMAGES + PAGE_SIZE;
const PAGES = (DOM0_IMAGES_END - FIRST) / PAGE_SIZE;

const FREE = 0;
const COMING = 1;
const COMPLETE = 2;
/** Words of an entry. */
const STATE = 0;
const PAGE = 1;
const TOUCHED = 2;
const SIZE = 3;

/** "sha256:" and 64 digits. */
const REFERENCE = /^sha256:[0-9a-f]{64}$/;

export function isImageHash(text: string): boolean {
  return REFERENCE.test(text);
}

/** An image that was uploaded. */
export class UploadedImage extends WindowImage {
  override readonly reference: string;
  override removed = false;

  /** @param hash "sha256:...": it is found again by it */
  constructor(
    name: string,
    address: number,
    size: number,
    readonly hash: string,
    readonly entry: number,
  ) {
    super(name, address, size);
    this.reference = hash;
  }
}

/** One that is being uploaded. */
export interface Upload {
  /** Takes the next bytes. @throws CommandError: no memory is left; the upload is over */
  add(bytes: Uint8Array): void;
  /** Everything has come. @throws CommandError: it has another size than was said */
  finish(): UploadedImage;
  /** Gives it up; nothing of it stays. */
  cancel(): void;
}

/** Pages freed in one piece of work. */
const FREED_AT_ONCE = 64;

export class ImageStore {
  private readonly images = new Map<string, UploadedImage>();
  /** Pages in use, in order: of images, and of what is coming or going. */
  private runs: { page: number; pages: number; entry: number }[] = [];
  /** Entries whose pages are to be freed. */
  private readonly going: number[] = [];
  private readonly freeing = new Task("freeing images", () => this.freeSome());
  private opened = false;

  /**
   * Finds what an earlier domain 0 had, once: the page of entries is not touched before somebody wants to know.
   * @returns false where there is no memory for that page: there are no images
   */
  private open(): boolean {
    if (this.opened) return true;
    if (!canWrite(TRIED)) return false;
    this.opened = true;
    for (let entry = 0; entry < IMAGES_MOST; entry++) {
      const fields = this.fields(entry);
      const [state, page, size] = [fields[STATE]!, fields[PAGE]!, fields[SIZE]!];
      if (state === FREE) continue;
      this.take(entry, page, Math.ceil(size / PAGE_SIZE));
      if (state === COMPLETE) this.images.set(this.hashOf(entry), this.read(entry));
      else this.free(entry);
    }
    return true;
  }

  private hashOf(entry: number): string {
    return `sha256:${hexOf(memory.read(DOM0_IMAGES + entry * ENTRY_BYTES + HASH_AT, HASH_BYTES))}`;
  }

  private read(entry: number): UploadedImage {
    const at = DOM0_IMAGES + entry * ENTRY_BYTES + NAME_AT;
    const fields = this.fields(entry);
    const name = decodeUtf8(memory.read(at + 1, memory.load8(at)));
    return new UploadedImage(name, FIRST + fields[PAGE]! * PAGE_SIZE, fields[SIZE]!, this.hashOf(entry), entry);
  }

  /** The images, the latest last. */
  list(): UploadedImage[] {
    this.open();
    return [...this.images.values()];
  }

  /** How many are being uploaded, for `js`. */
  get coming(): number {
    return this.runs.length - this.images.size - this.going.length;
  }

  /** One by its whole hash. */
  find(hash: string): UploadedImage | undefined {
    this.open();
    return this.images.get(hash);
  }

  /**
   * Begins an upload.
   * @param hash as `isImageHash` has it, of an image that is not there
   * @throws CommandError when there is no room
   */
  begin(hash: string, name: string, size: number): Upload {
    if (!this.open()) throw new CommandError(OUT_OF_MEMORY);
    const pages = Math.ceil(size / PAGE_SIZE);
    const page = this.room(pages);
    const entry = this.freeEntry();
    if (page === null || entry === null) {
      const room = entry === null ? `there are ${IMAGES_MOST} already` : `${formatBytes(size)} find no room`;
      throw new CommandError(
        `no room for the image: ${room}; \`image rm\` removes one (images have ${formatBytes(PAGES * PAGE_SIZE)})`,
      );
    }
    this.describe(entry, page, size, hash, name);
    this.take(entry, page, pages);
    return this.upload(this.read(entry), page);
  }

  private upload(image: UploadedImage, page: number): Upload {
    const fields = this.fields(image.entry);
    let used = 0;
    let over = false;
    const cancel = () => {
      if (over) return;
      over = true;
      this.free(image.entry);
    };
    const add = (bytes: Uint8Array) => {
      if (over) return;
      if (used + bytes.length > image.size) {
        cancel();
        throw new CommandError(`the image is longer than the ${image.size} bytes that were said`);
      }
      const wanted = Math.ceil((used + bytes.length) / PAGE_SIZE);
      for (let next = fields[TOUCHED]!; next < wanted; next++) {
        fields[TOUCHED] = next + 1; // before it is there, so that it is freed whenever domain 0 dies
        if (canWrite(FIRST + (page + next) * PAGE_SIZE)) continue;
        fields[TOUCHED] = next;
        cancel();
        throw new CommandError(OUT_OF_MEMORY);
      }
      memory.write(image.address + used, bytes);
      used += bytes.length;
    };
    const finish = () => {
      if (over || used !== image.size) {
        cancel();
        throw new CommandError(`the image ends after ${used} of ${image.size} bytes`);
      }
      over = true;
      const there = this.images.get(image.hash);
      if (there !== undefined) {
        // Somebody else was faster with the same.
        this.free(image.entry);
        return there;
      }
      fields[STATE] = COMPLETE;
      this.images.set(image.hash, image);
      return image;
    };
    return { add, finish, cancel };
  }

  /** Removes an image; its memory is given back soon. */
  remove(image: UploadedImage): void {
    this.images.delete(image.hash);
    image.removed = true;
    this.free(image.entry);
  }

  private take(entry: number, page: number, pages: number): void {
    this.runs.push({ page, pages, entry });
    this.runs.sort((a, b) => a.page - b.page);
  }

  /** Frees an entry and its pages, in pieces. */
  private free(entry: number): void {
    this.fields(entry)[STATE] = COMING;
    this.going.push(entry);
    this.freeing.request();
  }

  private freeSome(): boolean {
    const entry = this.going[0];
    if (entry === undefined) return false;
    const fields = this.fields(entry);
    const left = Math.max(0, fields[TOUCHED]! - FREED_AT_ONCE);
    for (let page = left; page < fields[TOUCHED]!; page++) {
      const gfn = FIRST / PAGE_SIZE + fields[PAGE]! + page;
      // One that was not touched since domain 0 started is not mapped.
      if (canWrite(gfn * PAGE_SIZE)) releaseOwnMemory(gfn, 1);
    }
    fields[TOUCHED] = left;
    if (left > 0) return true;
    fields[STATE] = FREE;
    this.going.shift();
    this.runs = this.runs.filter((run) => run.entry !== entry);
    return this.going.length > 0;
  }

  /** The first free run of so many pages; null when there is none. */
  private room(pages: number): number | null {
    let at = 0;
    for (const run of this.runs) {
      if (run.page - at >= pages) break;
      at = run.page + run.pages;
    }
    return PAGES - at >= pages ? at : null;
  }

  private freeEntry(): number | null {
    const used = new Set(this.runs.map(({ entry }) => entry));
    for (let entry = 0; entry < IMAGES_MOST; entry++) if (!used.has(entry)) return entry;
    return null;
  }

  private describe(entry: number, page: number, size: number, hash: string, name: string): void {
    const at = DOM0_IMAGES + entry * ENTRY_BYTES;
    const fields = this.fields(entry);
    fields[STATE] = FREE;
    fields[PAGE] = page;
    fields[TOUCHED] = 0;
    fields[SIZE] = size;
    memory.write(at + HASH_AT, bytesOfHex(hash.slice(-2 * HASH_BYTES)));
    const bytes = encodeUtf8(name);
    memory.write(at + NAME_AT, Uint8Array.of(bytes.length, ...bytes));
    fields[STATE] = COMING;
  }

  private fields(entry: number): Uint32Array {
    return words(memory, DOM0_IMAGES + entry * ENTRY_BYTES, HASH_AT / 4);
  }
}

const OUT_OF_MEMORY = "there is no memory left for the image";

export const images = new ImageStore();
