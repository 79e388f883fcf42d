/** Lists of settings, as in `--vif mac=...,ip=...`: KEY=VALUE, separated by commas. */
import { CommandError } from "../../api/command-error.ts";

/**
 * @param what the option, for errors
 * @param keys what may be set, with the form of each value
 * @throws CommandError for a key that is not known, is given twice, or has no value
 */
export function parseSettings(what: string, text: string, keys: Readonly<Record<string, string>>): Map<string, string> {
  const settings = new Map<string, string>();
  if (text === "") return settings;
  for (const item of text.split(",")) {
    const equals = item.indexOf("=");
    const key = (equals < 0 ? item : item.slice(0, equals)).trim();
    const form = Object.prototype.hasOwnProperty.call(keys, key) ? keys[key]! : undefined;
    if (form === undefined) {
      const known = Object.entries(keys).map(([name, value]) => `${name}=${value}`);
      throw new CommandError(`${what}: unknown setting "${key}"; known: ${known.join(" ")}`);
    }
    const value = equals < 0 ? "" : item.slice(equals + 1).trim();
    if (value === "") throw new CommandError(`${what}: ${key} needs a value: ${key}=${form}`);
    if (settings.has(key)) throw new CommandError(`${what}: ${key} is given twice`);
    settings.set(key, value);
  }
  return settings;
}
