/** A capture of a request from this computer, as Wireshark would read it. */
import test from "ava";
import { captures } from "../../scripts/capture/captures.ts";
import { freePorts } from "../../scripts/devices.ts";
import { plainText, PROMPT } from "../../scripts/machine.ts";
import { bootToPrompt, COMMAND_MS, powerOff } from "./support/boot.ts";
import { said } from "./support/tcp.ts";

const GUEST = "10.0.2.21";
const GATEWAY = "10.0.2.2";
const CTRL_C = "\x03";

interface Frame {
  /** Since 1970, ns. */
  time: bigint;
  length: number;
  data: Buffer;
}

/** Reads a pcap file with times in nanoseconds. */
function readPcap(file: Buffer): { most: number; frames: Frame[] } {
  if (file.readUInt32LE(0) !== 0xa1b23c4d) throw new Error("no pcap file");
  if (file.readUInt16LE(4) !== 2 || file.readUInt16LE(6) !== 4) throw new Error("not version 2.4");
  if (file.readUInt32LE(20) !== 1) throw new Error("not Ethernet");
  const frames: Frame[] = [];
  for (let at = 24; at < file.length;) {
    const captured = file.readUInt32LE(at + 8);
    const time = BigInt(file.readUInt32LE(at)) * 1_000_000_000n + BigInt(file.readUInt32LE(at + 4));
    frames.push({ time, length: file.readUInt32LE(at + 12), data: file.subarray(at + 16, at + 16 + captured) });
    at += 16 + captured;
  }
  return { most: file.readUInt32LE(16), frames };
}

const ipText = (bytes: Buffer) => [...bytes].join(".");

/** Frames in words: "arp 1 FROM TO", "tcp FROM:PORT TO:PORT FLAGS" with the data behind it. */
function describe({ data }: Frame): string {
  const type = data.readUInt16BE(12);
  const packet = data.subarray(14);
  if (type === 0x0806) {
    return `arp ${packet.readUInt16BE(6)} ${ipText(packet.subarray(14, 18))} ${ipText(packet.subarray(24, 28))}`;
  }
  if (type !== 0x0800 || packet[9] !== 6) return `other ${type.toString(16)}`;
  const tcp = packet.subarray((packet[0]! & 15) * 4, packet.readUInt16BE(2));
  const flags = [...["FIN", "SYN", "RST", "PSH", "ACK"].entries()].filter(([bit]) => (tcp[13]! >> bit) & 1);
  const from = `${ipText(packet.subarray(12, 16))}:${tcp.readUInt16BE(0)}`;
  const to = `${ipText(packet.subarray(16, 20))}:${tcp.readUInt16BE(2)}`;
  const text = tcp.subarray((tcp[12]! >> 4) * 4).toString("latin1");
  return `tcp ${from} ${to} ${flags.map(([, name]) => name).join("+")} ${JSON.stringify(text)}`;
}

test("bridge dump --pcap: ARP and TCP of a request, until Ctrl-C, or until there are enough frames", async (t) => {
  const [hostPort] = (await freePorts(1)) as [number];
  const forwards = [{ protocol: "tcp", hostPort, address: GUEST, port: 13 } as const];
  const machine = await bootToPrompt(t, { nic: "virtio-net", forwards });
  await machine.command(`create --kernel daytime --memory 2 --vif ip=${GUEST}`, COMMAND_MS);

  machine.send("bridge dump xenbr0 --pcap --seconds 3600\r");
  await machine.waitFor("-----BEGIN PCAP xenbr0-----", COMMAND_MS);
  const time = await said(hostPort);
  t.regex(time, /UTC\r\n$/);
  machine.send(CTRL_C);
  await machine.waitFor(/\n\d+ frames\r?\n/, COMMAND_MS, "the number of frames");
  await machine.waitFor(PROMPT, COMMAND_MS, "the prompt after the capture");

  const [capture, ...more] = captures(plainText(machine.output));
  t.deepEqual(more, []);
  t.is(capture!.bridge, "xenbr0");
  const { most, frames } = readPcap(capture!.data);
  t.is(most, 1536);
  const words = frames.map(describe);
  t.log(words);
  // Who knows the other's address already, because the guest has announced itself before the capture, does not ask.
  const asks = (from: string, to: string) => words.includes(`arp 1 ${from} ${to}`);
  t.true(asks(GATEWAY, GUEST) || asks(GUEST, GATEWAY));
  // The answer, or, when it was asked for before it had begun to listen, the guest's announcement.
  const answers = (from: string, to: string) => words.includes(`arp 2 ${from} ${to}`);
  t.true(answers(GUEST, GATEWAY) || answers(GATEWAY, GUEST) || asks(GUEST, GUEST));
  const server = `${GUEST}:13`;
  t.true(words.some((word) => word.startsWith(`tcp ${GATEWAY}:`) && word.includes(` ${server} SYN `)));
  t.true(words.some((word) => word.startsWith(`tcp ${server} `) && word.includes(" SYN+ACK ")));
  t.true(words.some((word) => word.startsWith(`tcp ${server} `) && word.endsWith(JSON.stringify(time))));
  t.true(words.some((word) => word.startsWith(`tcp ${server} `) && / (FIN|FIN\+\w+|FIN\+PSH\+ACK) /.test(word)));
  t.true(frames.every(({ data, length }) => data.length === length));
  // In order, of today: the machine's clock is this computer's.
  t.true(frames.every(({ time }, i) => i === 0 || time >= frames[i - 1]!.time));
  const ageMs = Date.now() - Number(frames[0]!.time / 1_000_000n);
  t.true(Math.abs(ageMs) < 86_400_000, `${ageMs} ms`);

  // So many frames, and so much of each.
  machine.send("bridge dump xenbr0 --pcap --frames 2 --bytes 20\r");
  await machine.waitFor("-----BEGIN PCAP xenbr0-----", COMMAND_MS);
  await said(hostPort);
  await machine.waitFor(/\n2 frames\r?\n/, COMMAND_MS, "the number of frames");
  await machine.waitFor(PROMPT, COMMAND_MS, "the prompt after the second capture");
  const second = readPcap(captures(plainText(machine.output))[1]!.data);
  t.is(second.most, 20);
  t.deepEqual(
    second.frames.map(({ data }) => data.length),
    [20, 20],
  );
  t.regex(
    await machine.command("bridge dump nowhere --pcap", COMMAND_MS),
    /there is no bridge "nowhere"; `bridge list` shows them/,
  );
  await powerOff(t, machine);
});
