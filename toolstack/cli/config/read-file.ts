/** A configuration file's text. */
import { readFileSync, statSync } from "node:fs";
import { ConfigError } from "./problems.ts";

/** Far more than any domain's configuration; a disk image given by mistake is not read into memory. */
const MOST_BYTES = 1024 * 1024;

const REASONS: Record<string, string> = {
  ENOENT: "there is no such file",
  EACCES: "it may not be read",
  EISDIR: "it is a folder",
};

/** @throws ConfigError when it is not there, may not be read, is no regular file, is too large, or is not UTF-8 */
export function readConfigFile(path: string): string {
  const refuse = (text: string): never => {
    throw new ConfigError([{ place: { source: path }, text }]);
  };
  let bytes: Buffer;
  try {
    const state = statSync(path);
    if (state.isDirectory()) return refuse(REASONS.EISDIR);
    if (state.size > MOST_BYTES) return refuse(`${state.size} bytes are too many for a configuration: 1 MiB at most`);
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    return refuse(REASONS[code ?? ""] ?? message);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return refuse("it is not a text in UTF-8");
  }
}
