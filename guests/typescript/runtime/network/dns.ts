/** node:dns: names are not resolved; addresses, and localhost, are what they are. */
import { codedError } from "../program/errors.ts";
import { ownAddress, parseAddress } from "./network.ts";
import { addTick } from "../guest/ticks.ts";

type Done = (error: Error | null, address?: string, family?: number) => void;

export function lookup(name: string, options: unknown, done?: Done): void {
  const tell = (typeof options === "function" ? options : done) as Done;
  const address = name === "localhost" ? ownAddress()?.address : parseAddress(name) === undefined ? undefined : name;
  addTick(() =>
    address === undefined
      ? tell(codedError("ENOTFOUND", `a guest's programs know no names, only IPv4 addresses: ${name}`))
      : tell(null, address, 4),
  );
}

export const promises = {
  lookup: (name: string): Promise<{ address: string; family: number }> =>
    new Promise((resolve, reject) =>
      lookup(name, (error: Error | null, address?: string) =>
        error ? reject(error) : resolve({ address: address!, family: 4 }),
      ),
    ),
};
