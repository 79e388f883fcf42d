/** Requests about bridges, vifs, disks, volumes and vbds. */
import * as v from "valibot";
import {
  countOption,
  countWord,
  naming,
  option,
  optionalWord,
  switchOption,
  word,
  type Argument,
} from "../argument.ts";
import { VBD_USAGE, VIF_USAGE } from "../devices/usage.ts";
import { defineRequest, type Arguments, type Definition, type RequestDefinition } from "../request.ts";
import { count } from "../sizes.ts";

const MOST_SECONDS = 0xffffffff;
const MOST_CARDS = 64;
const MOST_VIFS = 31;
const MOST_DISKS = 255;

const text = v.string();
const number = v.number();
const orNone = v.nullable(text);
const byReason = v.record(text, number);

const domain = () => naming("domain", word("ID", ""));
const bridge = () => naming("bridge", word("NAME", ""));
const volume = () => naming("volume", word("NAME", ""));
const disk = <T>(argument: Argument<T>) => naming("disk", argument);

/** A request that the I/O domain answers, or does. */
function deviceRequest<A extends Arguments, R = void>(definition: Definition<A, R>): RequestDefinition<A, R> {
  return defineRequest({
    waits: { for: "the I/O domain", cancelled: "whether it was done is not known", goesOn: true },
    ...definition,
  });
}

export const bridgeListRequest = deviceRequest({
  name: "bridge list",
  summary: "show them, with what has passed; in: from vifs and the card, out: to them",
  arguments: {},
  result: v.array(
    v.object({
      name: text,
      uplink: v.nullable(number),
      link: orNone,
      vifs: number,
      learned: number,
      dhcp: orNone,
      framesIn: number,
      bytesIn: number,
      framesOut: number,
      bytesOut: number,
      drops: byReason,
    }),
  ),
  columns: [
    { key: "name", title: "Bridge" },
    { key: "uplink", title: "Card", right: true },
    { key: "link", title: "Link" },
    { key: "vifs", title: "Vifs", right: true },
    { key: "learned", title: "MACs", right: true },
    { key: "dhcp", title: "DHCP" },
    { key: "framesIn", title: "Frames in", right: true },
    { key: "bytesIn", title: "Bytes in", right: true },
    { key: "framesOut", title: "Frames out", right: true },
    { key: "bytesOut", title: "Bytes out", right: true },
    { key: "drops", title: "Dropped" },
  ],
});

export const bridgeCreateRequest = deviceRequest({
  name: "bridge create",
  summary: "make one; with --dhcp vifs that have an address get it by DHCP",
  arguments: {
    name: word("NAME", ""),
    dhcp: option("GATEWAY/PREFIX", ""),
    dns: option("IP", ""),
    lease: countOption("SECONDS", "", 60, MOST_SECONDS),
  },
});

export const bridgeDeleteRequest = deviceRequest({
  name: "bridge delete",
  summary: "remove one without vifs",
  arguments: { name: bridge() },
});

export const bridgeAttachRequest = deviceRequest({
  name: "bridge attach",
  summary: "make a network card (a number from 0) its uplink",
  arguments: { name: bridge(), card: countWord("CARD", "", 0, MOST_CARDS) },
});

export const bridgeDetachRequest = deviceRequest({
  name: "bridge detach",
  summary: "take its uplink from it",
  arguments: { name: bridge() },
});

/** Of a capture, where nothing is said: seconds, and bytes of each frame. */
export const CAPTURE_SECONDS = 10;
export const CAPTURE_BYTES = 1536;
const MOST_CAPTURE_SECONDS = 86_400;
const MOST_FRAMES = 1_000_000;
/** An Ethernet header, and what the I/O domain has of a long frame in one piece. */
const LEAST_BYTES = 14;
const MOST_BYTES = 65_535;

export const bridgeDumpRequest = defineRequest({
  name: "bridge dump",
  summary:
    `capture its frames, the first ${CAPTURE_BYTES} or --bytes bytes of each, for ${CAPTURE_SECONDS} seconds, or until there ` +
    "are --frames, or Ctrl-C, as a pcap file",
  details: ["What a client of the control connection captures is without the frames of control connections."],
  arguments: {
    name: bridge(),
    pcap: switchOption("the form of the file: there is no other"),
    seconds: countOption("N", "", 1, MOST_CAPTURE_SECONDS),
    frames: countOption("N", "", 1, MOST_FRAMES),
    bytes: countOption("N", "", LEAST_BYTES, MOST_BYTES),
  },
  stream: "file",
  result: v.object({
    frames: number,
    /** They came faster than they were taken. */
    lost: number,
    /** Of the I/O domain. */
    restarts: number,
  }),
  waits: { for: "frames", cancelled: "the file is complete with what has come until then" },
  lines: ({ frames, lost, restarts }) => [
    count(frames, "frame") +
      (lost > 0 ? `, ${lost} lost: they came faster than they were taken` : "") +
      (restarts > 0 ? `, with ${count(restarts, "restart")} of the I/O domain` : ""),
  ],
});

export const vifListRequest = deviceRequest({
  name: "vif list",
  summary: "show them, with what has passed; tx: what the guest has sent",
  arguments: {},
  result: v.array(
    v.object({
      domain: number,
      vif: number,
      mac: text,
      ip: orNone,
      bridge: text,
      model: text,
      state: text,
      txFrames: number,
      txBytes: number,
      rxFrames: number,
      rxBytes: number,
      failure: orNone,
      drops: byReason,
    }),
  ),
  columns: [
    { key: "domain", title: "Domain", right: true },
    { key: "vif", title: "Vif", right: true },
    { key: "mac", title: "MAC" },
    { key: "ip", title: "IP" },
    { key: "bridge", title: "Bridge" },
    { key: "model", title: "Model" },
    { key: "state", title: "State" },
    { key: "txFrames", title: "Tx frames", right: true },
    { key: "txBytes", title: "Tx bytes", right: true },
    { key: "rxFrames", title: "Rx frames", right: true },
    { key: "rxBytes", title: "Rx bytes", right: true },
    { key: "failure", title: "Failure" },
    { key: "drops", title: "Dropped" },
  ],
});

export const vifAttachRequest = deviceRequest({
  name: "vif attach",
  summary: `give a domain one more, and print its number; SETTINGS: ${VIF_USAGE}`,
  arguments: { id: domain(), settings: optionalWord("SETTINGS", "") },
  result: v.object({ vif: v.pipe(v.number(), v.integer()) }),
  lines: ({ vif }) => [String(vif)],
});

export const vifDetachRequest = deviceRequest({
  name: "vif detach",
  summary: "take one from a domain",
  arguments: { id: domain(), number: countWord("NUMBER", "", 0, MOST_VIFS) },
});

export const diskListRequest = deviceRequest({
  name: "disk list",
  summary: "show them, with the requests that they were given",
  arguments: {},
  result: v.array(
    v.object({
      disk: number,
      driver: text,
      state: text,
      size: number,
      sectorSize: number,
      partitions: number,
      store: text,
      storeSize: v.nullable(number),
      free: v.nullable(number),
      volumes: v.nullable(number),
      reads: number,
      writes: number,
      errors: number,
      resets: number,
    }),
  ),
  columns: [
    { key: "disk", title: "Disk", right: true },
    { key: "driver", title: "Driver" },
    { key: "state", title: "State" },
    { key: "size", title: "Size", right: true, bytes: true },
    { key: "sectorSize", title: "Sector", right: true },
    { key: "partitions", title: "Partitions", right: true },
    { key: "store", title: "Store" },
    { key: "storeSize", title: "Its size", right: true, bytes: true },
    { key: "free", title: "Free", right: true, bytes: true },
    { key: "volumes", title: "Volumes", right: true },
    { key: "reads", title: "Reads", right: true },
    { key: "writes", title: "Writes", right: true },
    { key: "errors", title: "Errors", right: true },
    { key: "resets", title: "Resets", right: true },
  ],
});

export const volumeListRequest = deviceRequest({
  name: "volume list",
  summary: "show them and their snapshots; used: what has space on the disk, its own or shared",
  arguments: {},
  result: v.array(
    v.object({
      name: orNone,
      disk: number,
      kind: text,
      size: number,
      used: number,
      from: orNone,
      clones: number,
      readers: number,
      writers: number,
    }),
  ),
  columns: [
    { key: "name", title: "Volume" },
    { key: "disk", title: "Disk", right: true },
    { key: "kind", title: "Kind" },
    { key: "size", title: "Size", right: true, bytes: true },
    { key: "used", title: "Used", right: true, bytes: true },
    { key: "from", title: "From" },
    { key: "clones", title: "Clones", right: true },
    { key: "readers", title: "Readers", right: true },
    { key: "writers", title: "Writers", right: true },
  ],
});

export const volumeCreateRequest = deviceRequest({
  name: "volume create",
  summary: "make one of zeroes, which takes space as it is written; on the first disk with a store",
  arguments: {
    name: word("NAME", ""),
    size: word("SIZE", ""),
    disk: disk(countOption("DISK", "", 0, MOST_DISKS)),
    ifAbsent: switchOption(""),
  },
});

export const volumeDeleteRequest = deviceRequest({
  name: "volume delete",
  summary: "delete a volume or snapshot that no domain has",
  arguments: { name: volume() },
});

export const volumeResizeRequest = deviceRequest({
  name: "volume resize",
  summary: "give one another size; smaller only while no domain has it: what is behind the new end is lost",
  arguments: { name: volume(), size: word("SIZE", "") },
});

export const volumeSnapshotRequest = deviceRequest({
  name: "volume snapshot",
  summary: "of a volume: keep what it is now as NEW, read-only; of a snapshot: make the volume NEW from it",
  arguments: { name: volume(), made: word("NEW", "") },
});

export const volumeFormatRequest = deviceRequest({
  name: "volume format",
  summary: "make an empty store, in free space of a disk with a GPT, or on one that has nothing on it",
  arguments: {
    disk: disk(countWord("DISK", "", 0, MOST_DISKS)),
    replaceStore: switchOption(""),
    overwriteDisk: switchOption(""),
  },
});

export const volumeCheckRequest = deviceRequest({
  name: "volume check",
  summary: "check the store on a disk",
  arguments: { disk: disk(countWord("DISK", "", 0, MOST_DISKS)) },
  result: v.object({ disk: number, volumes: number, chunks: number, blocks: number }),
  lines: ({ disk: of, volumes, chunks, blocks }) => [
    `disk ${of}: no problem; ${checkedText({ volumes, chunks, blocks })}`,
  ],
});

/** What a check of a store has looked at. */
export function checkedText({ volumes, chunks, blocks }: { volumes: number; chunks: number; blocks: number }): string {
  return (
    `${count(volumes, "volume")} with ${count(chunks, "chunk")} of 64 KiB and ${count(blocks, "block")} of ` +
    "metadata checked"
  );
}

export const vbdListRequest = deviceRequest({
  name: "vbd list",
  summary: "show them, with the requests that they have made",
  arguments: {},
  result: v.array(
    v.object({
      domain: number,
      vdev: text,
      target: text,
      access: text,
      model: text,
      state: text,
      failure: orNone,
      size: number,
      reads: number,
      readBytes: number,
      writes: number,
      writtenBytes: number,
      flushes: number,
      discards: number,
      errors: number,
      refused: number,
    }),
  ),
  columns: [
    { key: "domain", title: "Domain", right: true },
    { key: "vdev", title: "Vdev" },
    { key: "target", title: "Target" },
    { key: "access", title: "Access" },
    { key: "model", title: "Model" },
    { key: "state", title: "State" },
    { key: "failure", title: "Failure" },
    { key: "size", title: "Size", right: true, bytes: true },
    { key: "reads", title: "Reads", right: true },
    { key: "readBytes", title: "Bytes", right: true },
    { key: "writes", title: "Writes", right: true },
    { key: "writtenBytes", title: "Bytes", right: true },
    { key: "flushes", title: "Flushes", right: true },
    { key: "discards", title: "Discards", right: true },
    { key: "errors", title: "Errors", right: true },
    { key: "refused", title: "Refused", right: true },
  ],
});

export const vbdAttachRequest = deviceRequest({
  name: "vbd attach",
  summary: `give a domain one more; SETTINGS: ${VBD_USAGE}`,
  arguments: { id: domain(), settings: word("SETTINGS", "") },
});

export const vbdDetachRequest = deviceRequest({
  name: "vbd detach",
  summary: "take one from a domain, whatever it is doing with it",
  arguments: { id: domain(), vdev: word("VDEV", "") },
});
