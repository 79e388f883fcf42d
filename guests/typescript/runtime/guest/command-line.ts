/** The domain's command line. */
import { decodeUtf8 } from "../data/text.ts";
import { call, OPERATION, transfer } from "./host.ts";

/** What follows "--", and the options before it. */
export function commandLine(): { options: string[]; arguments: string[] } {
  const length = call(OPERATION.commandLine);
  const words = decodeUtf8(transfer.slice(0, length))
    .split(" ")
    .filter((text) => text !== "");
  const at = words.indexOf("--");
  return { options: at < 0 ? words : words.slice(0, at), arguments: at < 0 ? [] : words.slice(at + 1) };
}
