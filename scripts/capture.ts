/**
 * `npm run capture -- FILE.pcap [LOG]`: the pcap file that is in what `bridge dump --pcap` printed, for Wireshark. LOG is a file with the
 * console's output, or standard input: `npm start --silent -- --exec 'bridge dump xenbr0 --pcap' | npm run capture -- my.pcap`
 */
import { readFileSync, writeFileSync } from "node:fs";
import { captures } from "./capture/captures.ts";

const [file, log, ...more] = process.argv.slice(2);
try {
  if (file === undefined || more.length > 0) throw new Error("usage: npm run capture -- FILE.pcap [LOG]");
  const found = captures(readFileSync(log ?? 0, "utf8"));
  const last = found.at(-1);
  if (last === undefined) throw new Error("there is no capture in it: `bridge dump NAME --pcap` prints one");
  writeFileSync(file, last.data);
  const others = found.length > 1 ? `, the last of ${found.length} captures in it` : "";
  console.log(`wrote ${file}: bridge ${last.bridge}, ${last.data.length} bytes${others}`);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
