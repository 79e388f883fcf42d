/** Kernels and ramdisks by the names that users give: boot modules, and images that were uploaded. */
import { CommandError } from "../../api/command-error.ts";
import { bootModules, findModule } from "../boot-info.ts";
import type { WindowImage } from "../builder/image.ts";
import { images, isImageHash } from "./store.ts";

/** What a reference stands for: a boot module's name, or an image's hash. */
export function findImage(reference: string): WindowImage | undefined {
  return findModule(reference) ?? (isImageHash(reference) ? images.find(reference) : undefined);
}

/** @throws CommandError that names `what`, and what there is */
export function imageArgument(what: string, reference: string): WindowImage {
  const image = findImage(reference);
  if (image === undefined) {
    if (isImageHash(reference)) throw new CommandError(`${what}: no image ${reference}; \`image list\` shows them`);
    const names = bootModules().map((known) => known.name);
    const there = names.length === 0 ? "there are no boot modules" : `boot modules: ${names.join(" ")}`;
    throw new CommandError(`${what}: no boot module "${reference}"; ${there}`);
  }
  if (image.size === 0) throw new CommandError(`${what}: the boot module "${reference}" is empty`);
  return image;
}
