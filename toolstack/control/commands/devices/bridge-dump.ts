/**
 * `bridge dump`: what passes a bridge, as a pcap file; at the prompt as text that becomes one on the computer at the other end of the
 * serial line.
 */
import { CommandError } from "../../../api/command-error.ts";
import { readWords } from "../../../api/command-line.ts";
import { bridgeDumpRequest, CAPTURE_BYTES, CAPTURE_SECONDS } from "../../../api/requests/devices.ts";
import { CONTROL_PORT } from "../../../api/protocol.ts";
import { Base64Lines } from "../../console/base64.ts";
import { print } from "../../console/output.ts";
import { network } from "../../net/network.ts";
import { captureBridge } from "../../noxs/capture.ts";
import { parseBridgeName } from "../../noxs/vif-config.ts";
import { handler } from "../handler.ts";
import { consoleRequest } from "../request-command.ts";
import { requestSubcommand, type Subcommand } from "../subcommands.ts";
import { orExplain } from "./bridge-errors.ts";

/** Bridges that are captured: their ring in the I/O domain has one reader each. */
const captured = new Set<string>();

const dump = handler(bridgeDumpRequest, async (params, { domains, interruption, output, outputRoom, stream }) => {
  const { frames, seconds = frames === undefined ? CAPTURE_SECONDS : Infinity, bytes = CAPTURE_BYTES } = params;
  const name = parseBridgeName("bridge", params.name);
  const io = await domains.devices.whenReady();
  if (captured.has(name)) throw new CommandError(`${name} is captured already`);
  captured.add(name);
  const limits = { frames: frames ?? Infinity, seconds, bytes };
  const write = async (piece: Uint8Array) => {
    output(piece);
    await outputRoom();
  };
  // Each frame that goes to a client would make another one.
  const wanted = stream === undefined ? undefined : (frame: Uint8Array) => !network.isOwnFrame(frame, CONTROL_PORT);
  try {
    return await orExplain(io, { bridge: name }, () => captureBridge(io, name, limits, interruption, write, wanted));
  } finally {
    captured.delete(name);
  }
});

/** In exec mode and at the prompt the file is base64 between two lines: `npm run capture` finds it in the output. */
export const bridgeDump: Subcommand = {
  ...requestSubcommand(dump),
  usage: "NAME --pcap [--seconds N] [--frames N] [--bytes N]",
  summary: `${bridgeDumpRequest.summary}; here it is printed as base64: \`npm run capture\` makes a file of it`,
  async run(words, context) {
    const { params } = readWords(bridgeDumpRequest, words);
    if (!params.pcap) throw new CommandError("--pcap is missing: the only form that there is");
    const lines = new Base64Lines(print);
    let begun = false;
    const request = {
      ...consoleRequest(context),
      output: (bytes: Uint8Array) => {
        if (!begun) print(`-----BEGIN PCAP ${params.name}-----\n`);
        begun = true;
        lines.put(bytes);
      },
    };
    const end = () => {
      lines.end();
      if (begun) print(`-----END PCAP ${params.name}-----\n`);
    };
    try {
      const result = await dump.handle(params, request);
      end();
      for (const line of bridgeDumpRequest.lines!(result)) print(`${line}\n`);
    } catch (error) {
      end();
      throw error;
    }
  },
};
