/**
 * Unpacking a compressed kernel: the codec is given memory temporarily and works a step at a time; between the
 * steps domain 0 does other work. The kernel stays in the codec's memory until it is released; nothing of it is kept.
 */
import {
  CODEC_CHECKSUM,
  CODEC_DAMAGED,
  CODEC_DONE,
  CODEC_MORE,
  CODEC_OWN_BYTES,
  CODEC_SLACK,
  CODEC_TOO_LONG,
  CODEC_TOO_SHORT,
  CODEC_TRUNCATED,
  CODEC_UNSUPPORTED,
} from "../../../abi/codec.ts";
import { DOM0_CODEC, DOM0_WINDOW_END } from "../../../abi/domain0-layout.ts";
import { DOMID_SELF } from "../../../abi/xen.ts";
import { beginCodec, stepCodec } from "./codec.ts";
import { memory } from "../host.ts";
import { populateRange, releaseRange } from "../hypercalls/memory.ts";
import { physicalInfo } from "../hypercalls/sysctl.ts";
import { formatBytes } from "../../api/sizes.ts";
import { giveWay } from "../tasks.ts";
import { sleep } from "../timers.ts";
import { showLife } from "../watchdog.ts";
import { PAGE_SIZE } from "../window.ts";
import { BuildError } from "./build-error.ts";
import { findPayload, type Payload } from "./bzimage.ts";
import { WindowImage, type Image } from "./image.ts";

/** Unit in which the codec's memory is populated and freed: 2 MiB. */
const EXTENT_ORDER = 9;
const EXTENT_PAGES = 2 ** EXTENT_ORDER;
const EXTENT_BYTES = EXTENT_PAGES * PAGE_SIZE;
const FIRST_GFN = DOM0_CODEC / PAGE_SIZE;
/** The input is copied in pieces of this size, showing life between them. */
const COPY_BYTES = 16 * 1024 * 1024;

/** An image in memory of its own. */
export interface Unpacked {
  image: Image;
  /** Frees the memory; the image is no longer valid. */
  release: () => void;
}

/** Resolved when the previous user has freed the codec's memory. */
let free: Promise<void> = Promise.resolve();

/**
 * Gets the vmlinux out of a bzImage.
 * @throws BuildError that says what is wrong with the image
 */
export async function openBzImage(image: Image): Promise<Unpacked> {
  const payload = findPayload(image);
  return "read" in payload ? { image: payload, release: () => {} } : await unpack(image, payload);
}

/**
 * Unpacks `payload` of `image`; waits until a kernel unpacked before has been released.
 * @throws BuildError describing the error in the payload, or that memory is exhausted; all memory is freed then
 */
async function unpack(image: Image, payload: Payload): Promise<Unpacked> {
  const before = free;
  let done = () => {};
  free = new Promise((resolve) => {
    done = resolve;
  });
  await before;
  let extents = 0;
  const release = () => {
    const given = extents;
    extents = 0;
    try {
      releaseRange(DOMID_SELF, FIRST_GFN, EXTENT_ORDER, given);
    } finally {
      done();
    }
  };
  try {
    const input = DOM0_CODEC + CODEC_OWN_BYTES;
    const output = Math.ceil((input + payload.size + CODEC_SLACK) / PAGE_SIZE) * PAGE_SIZE;
    const end = output + payload.unpackedSize + CODEC_SLACK;
    const wanted = Math.ceil((end - DOM0_CODEC) / EXTENT_BYTES);
    if (DOM0_CODEC + wanted * EXTENT_BYTES > DOM0_WINDOW_END) {
      const room = formatBytes(DOM0_WINDOW_END - output - CODEC_SLACK);
      throw new BuildError(
        `${image.name}: its kernel announces ${formatBytes(payload.unpackedSize)} unpacked: at most ${room} are possible`,
      );
    }
    for (; extents < wanted; extents++) {
      if (populateRange(DOMID_SELF, FIRST_GFN + extents * EXTENT_PAGES, EXTENT_ORDER, 1) === 0) {
        throw new BuildError(
          `${image.name}: not enough memory to unpack it: it takes ${formatBytes(wanted * EXTENT_BYTES)} for the time ` +
            `of the domain's creation, ${formatBytes(physicalInfo().availablePages * PAGE_SIZE + extents * EXTENT_BYTES)} are free`,
        );
      }
      showLife();
      await giveWay();
    }
    for (let at = 0; at < payload.size; at += COPY_BYTES) {
      memory.copy(input + at, image.address + payload.offset + at, Math.min(COPY_BYTES, payload.size - at));
      showLife();
      await giveWay();
    }
    let status = beginCodec(payload.format, input, payload.size, output, payload.unpackedSize);
    while (status === CODEC_MORE) {
      // A turn of the event loop: consoles are served and the watchdog is petted there.
      await sleep(0);
      status = stepCodec();
    }
    if (status !== CODEC_DONE) throw new BuildError(`${image.name}: ${failureWords(status, payload)}`);
    return { image: new WindowImage(image.name, output, payload.unpackedSize), release };
  } catch (error) {
    release();
    throw error;
  }
}

/** What is wrong with a payload. */
function failureWords(status: number, { compression, unpackedSize }: Payload): string {
  const kernel = `its kernel, compressed with ${compression},`;
  switch (status) {
    case CODEC_TRUNCATED:
      return `${kernel} is truncated`;
    case CODEC_DAMAGED:
      return `${kernel} is damaged`;
    case CODEC_CHECKSUM:
      return `${kernel} is damaged: a checksum is wrong`;
    case CODEC_TOO_LONG:
      return `${kernel} is damaged: it unpacks to more than the ${unpackedSize} bytes it announces`;
    case CODEC_TOO_SHORT:
      return `${kernel} is damaged: it unpacks to less than the ${unpackedSize} bytes it announces`;
    case CODEC_UNSUPPORTED:
      return `${kernel} uses an option of that format that is not supported`;
    default:
      return `${kernel} could not be unpacked: the codec was stopped (status ${status}, see the report above)`;
  }
}
