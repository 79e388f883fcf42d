/** Images that were uploaded: what the console shows of them, and the upload itself, which comes from outside. */
import { CommandError } from "../../api/command-error.ts";
import { imageListRequest, imagePutRequest, imageRemoveRequest } from "../../api/requests/images.ts";
import { IMAGE_NAME_BYTES, images, isImageHash, type UploadedImage } from "../images/store.ts";
import { encodeUtf8 } from "../text.ts";
import { handler } from "./handler.ts";
import { commandOf, requestSubcommand } from "./subcommands.ts";

const list = handler(imageListRequest, () =>
  images.list().map(({ hash, name, size }) => ({ hash, name, bytes: size })),
);

/** The image that its name, or else a part of its hash, stands for. */
function imageArgument(which: string): UploadedImage {
  const hash = which.startsWith("sha256:") ? which : `sha256:${which}`;
  const named = images.list().filter(({ name }) => name === which);
  const found = named.length > 0 ? named : images.list().filter((image) => image.hash.startsWith(hash));
  if (found.length === 1) return found[0]!;
  throw new CommandError(`${found.length === 0 ? "no" : "more than one"} image "${which}"; \`image list\` shows them`);
}

const remove = handler(imageRemoveRequest, ({ images: named }) => {
  for (const image of new Set(named.map(imageArgument))) images.remove(image);
});

/** Takes an upload, as fast as it comes. */
export const imagePut = handler(imagePutRequest, async ({ hash, name, bytes }, { stream, interruption }) => {
  if (!isImageHash(hash)) throw new CommandError(`hash: "${hash}" is not sha256: and 64 digits`);
  if (encodeUtf8(name).length > IMAGE_NAME_BYTES) throw new CommandError(`name: at most ${IMAGE_NAME_BYTES} bytes`);
  if (bytes === undefined) throw new CommandError("bytes: the image's size is missing");
  if (images.find(hash) !== undefined) return { hash, uploaded: false };
  const upload = images.begin(hash, name, bytes);
  const client = stream!;
  try {
    await new Promise<void>((resolve, reject) => {
      client.onInput = (piece) => {
        try {
          upload.add(piece);
        } catch (error) {
          reject(error as Error);
          return;
        }
        client.consumed(piece.length);
      };
      client.onInputEnd = resolve;
      interruption.onRaise(() => reject(new CommandError("cancelled: the image is not there")));
    });
    upload.finish();
    return { hash, uploaded: true };
  } finally {
    client.onInput = client.onInputEnd = () => {};
    upload.cancel();
  }
});

export const imageCommand = commandOf("image", {
  list: requestSubcommand(list),
  rm: requestSubcommand(remove),
});
