/** Requests about kernels and ramdisks that were uploaded. */
import * as v from "valibot";
import { countOption, naming, requiredOption, words } from "../argument.ts";
import { defineRequest } from "../request.ts";

/** More than there is room for: the answer says how much that is. */
const MOST_BYTES = 2 ** 40;

export const imageListRequest = defineRequest({
  name: "image list",
  summary: "show the images that were uploaded",
  arguments: {},
  result: v.array(v.object({ hash: v.string(), name: v.string(), bytes: v.number() })),
  columns: [
    { key: "hash", title: "Image" },
    { key: "bytes", title: "Size", right: true, bytes: true },
    { key: "name", title: "Name" },
  ],
});

export const imageRemoveRequest = defineRequest({
  name: "image rm",
  summary: "remove images; domains that were made of one cannot be restarted then",
  arguments: {
    images: naming(
      "image",
      words("IMAGE", "as in `image list`: its name, or sha256:..., or enough of that to tell it from others"),
    ),
  },
});

/** Its answer comes at once, without an upload, when the image is there already. */
export const imagePutRequest = defineRequest({
  name: "image put",
  summary: "upload a kernel or ramdisk",
  arguments: {
    hash: requiredOption("HASH", "sha256:... of its contents"),
    name: requiredOption("NAME", ""),
    bytes: countOption("N", "", 1, MOST_BYTES),
  },
  stream: "upload",
  waits: { for: "the image's bytes", cancelled: "the image is not there" },
  result: v.object({ hash: v.string(), uploaded: v.boolean() }),
});
