/** `bridge dump`: what passes a bridge, as text that becomes a pcap file on the computer at the other end of the serial line. */
import { Base64Lines } from "../../console/base64.ts";
import { outputFull, print, whenDrained } from "../../console/output.ts";
import { captureBridge } from "../../noxs/capture.ts";
import { parseBridgeName } from "../../noxs/vif-config.ts";
import { giveWay } from "../../tasks.ts";
import { count } from "../../../api/sizes.ts";
import { CommandError } from "../../../api/command-error.ts";
import { parseCount, parseOptions } from "../../../api/options.ts";
import type { Subcommand } from "../subcommands.ts";
import { orExplain } from "./bridge-errors.ts";

const DEFAULT_SECONDS = 10;
const MOST_SECONDS = 86_400;
const MOST_FRAMES = 1_000_000;
const DEFAULT_BYTES = 1536;
/** An Ethernet header, and what the I/O domain has of a long frame in one piece. */
const LEAST_BYTES = 14;
const MOST_BYTES = 65_535;

/** Output that waits for a slow line is not dropped when the user interrupts: the file would have a hole. */
async function roomForMore(): Promise<void> {
  if (outputFull()) await new Promise<void>((resolve) => whenDrained(resolve));
  await giveWay();
}

export const bridgeDump: Subcommand = {
  usage: "NAME --pcap [--seconds N] [--frames N] [--bytes N]",
  summary:
    `capture its frames, the first ${DEFAULT_BYTES} or --bytes bytes of each, for ${DEFAULT_SECONDS} seconds, ` +
    "or until there are --frames, or Ctrl-C; printed as base64 of a pcap file: `npm run capture` makes one of it",
  async run(words, { domains, interruption }) {
    const { rest, values, switches } = parseOptions(
      words,
      { pcap: {}, seconds: { value: "N" }, frames: { value: "N" }, bytes: { value: "N" } },
      ["NAME"],
    );
    const name = parseBridgeName("bridge", rest[0]!);
    if (!switches.has("pcap")) throw new CommandError("--pcap is missing: the only form that there is");
    const frames = values.get("frames");
    const seconds = values.get("seconds") ?? (frames === undefined ? String(DEFAULT_SECONDS) : undefined);
    const limits = {
      frames: frames === undefined ? Infinity : parseCount("--frames", frames, 1, MOST_FRAMES),
      seconds: seconds === undefined ? Infinity : parseCount("--seconds", seconds, 1, MOST_SECONDS),
      bytes: parseCount("--bytes", values.get("bytes") ?? String(DEFAULT_BYTES), LEAST_BYTES, MOST_BYTES),
    };
    const io = await domains.devices.whenReady();
    const lines = new Base64Lines(print);
    let begun = false;
    await orExplain(io, { bridge: name }, async () => {
      try {
        const { lost, restarts, ...result } = await captureBridge(io, name, limits, interruption, async (bytes) => {
          if (!begun) print(`-----BEGIN PCAP ${name}-----\n`);
          begun = true;
          lines.put(bytes);
          await roomForMore();
        });
        lines.end();
        print(`-----END PCAP ${name}-----\n${count(result.frames, "frame")}`);
        if (lost > 0) print(`, ${lost} lost: they came faster than this line takes them`);
        if (restarts > 0) print(`, with ${count(restarts, "restart")} of the I/O domain`);
        print("\n");
      } catch (error) {
        lines.end();
        if (begun) print(`-----END PCAP ${name}-----\n`);
        throw error;
      }
    });
  },
};
