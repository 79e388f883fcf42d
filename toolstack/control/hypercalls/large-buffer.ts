/** Memory for hypercall data larger than a page, shared by all hypercalls: its RAM is allocated at first touch. */
import { reservePages } from "../scratch.ts";
import { PAGE_SIZE } from "../window.ts";

const PAGES = 128;

/** Address in the window; `memory` reads and writes it. */
export const largeBuffer = reservePages(PAGES);
/** Its size in bytes. */
export const LARGE_BUFFER_SIZE = PAGES * PAGE_SIZE;
