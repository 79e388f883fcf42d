/** From an xl.cfg file, and settings on the command line, to the description of a domain. */
import { checkDescription, type DomainDescription, type DomainDraft, type Places } from "./description.ts";
import { ConfigError, inOrder, notYetTold, type Place } from "./problems.ts";
import type { ReadConfig } from "./read-config.ts";
import { imageOf } from "./target.ts";
import { readDisk } from "./xl-disk.ts";
import { xlKey, xlKeyNames } from "./xl-keys.ts";
import { Report } from "./xl-report.ts";
import { parseXlSettings, type XlSetting, type XlValue } from "./xl-syntax.ts";
import { readVif } from "./xl-vif.ts";

/**
 * @param text of the file; empty if there is none
 * @param source the file as the user named it
 * @param settings of the command line, such as `memory=512`; they replace, or with += add to, those of the file
 * @throws ConfigError with every fault, each with file, line, key and what is accepted
 */
export function readXlConfig(text: string, source: string, settings: readonly string[] = []): ReadConfig {
  return new XlReader(text, source, settings).read();
}

/** What a key has in the end. */
interface Resolved {
  value: XlValue;
  place: Place;
  /** Put together with +=. */
  added: boolean;
}

class XlReader {
  private readonly report = new Report();
  private readonly values = new Map<string, Resolved>();
  private readonly draft: DomainDraft = {};
  private readonly places: Places = new Map();
  private readonly whole: Place;
  /** The file, and the settings of the command line. */
  private readonly sources: string[];

  constructor(text: string, source: string, settings: readonly string[]) {
    this.whole = { source };
    this.sources = [source];
    const all = parseXlSettings(text, source);
    for (const setting of settings) {
      const argument = `argument ${setting}`;
      this.sources.push(argument);
      all.push(...parseXlSettings(setting, argument, false));
    }
    for (const setting of all) this.resolve(setting);
  }

  read(): ReadConfig {
    const supported = [...this.values].filter(([key, { value, place }]) =>
      this.report.supports({ place, key }, xlKey(key), key, plainText(value), xlKeyNames()),
    );
    for (const [key] of supported) READERS[key](this, key);
    this.together();
    const faults = [...this.report.faults];
    let description: DomainDescription | undefined;
    try {
      description = checkDescription(this.draft, this.places, this.whole);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      faults.push(...notYetTold(error.problems, faults));
    }
    if (description === undefined || faults.length > 0) throw new ConfigError(inOrder(faults, this.sources));
    return { description, notes: inOrder(this.report.notes, this.sources) };
  }

  private resolve({ key, adds, value, place }: XlSetting): void {
    const before = this.values.get(key);
    if (before === undefined || !adds) {
      if (before !== undefined && before.place.line !== undefined && before.place.source === place.source) {
        this.report.note({ place, key }, `replaces what line ${before.place.line} says`);
      }
      this.values.set(key, { value, place, added: false });
      return;
    }
    const joined = join(before.value, value);
    if (joined === null) this.report.fault({ place, key }, "+= joins two lists, or two texts, not one to the other");
    else this.values.set(key, { value: joined, place, added: true });
  }

  /** A single value's text; undefined, with a fault, for a list. */
  text(key: string): string | undefined {
    const { value, place } = this.values.get(key)!;
    if (value.kind === "atom") return value.text;
    this.report.fault({ place, key }, "is a list, and should be a single value");
    return undefined;
  }

  /** A number as C's strtol reads it (0x: hexadecimal, 0: octal); what is none stays as it is, and is refused later. */
  number(key: string): number | undefined {
    const { place, added } = this.values.get(key)!;
    const text = this.text(key);
    if (added) {
      this.report.fault({ place, key }, "+= joins texts: use = for a number");
      return undefined;
    }
    return text === undefined ? undefined : ((numberOf(text) ?? text) as number);
  }

  /** The texts of a list with their places and names, such as "vif[1]"; undefined, with a fault, for what is none. */
  list(key: string): { text: string; place: Place; name: string }[] | undefined {
    const { value, place } = this.values.get(key)!;
    if (value.kind === "atom") {
      this.report.fault({ place, key }, `is a single value, and should be a list: ${key} = [ "…", "…" ]`);
      return undefined;
    }
    const texts: { text: string; place: Place; name: string }[] = [];
    value.items.forEach((item, i) => {
      const name = `${key}[${i}]`;
      if (item.kind === "atom") texts.push({ text: item.text, place: item.place, name });
      else this.report.fault({ place: item.place, key: name }, "is a list, and should be a text");
    });
    return texts;
  }

  /** Puts a part into the draft, and notes where it is written. */
  put<Key extends keyof DomainDraft>(part: Key, key: string, value: DomainDraft[Key]): void {
    if (value === undefined) return;
    this.draft[part] = value;
    this.places.set(part, { place: this.values.get(key)!.place, key });
  }

  action(end: keyof NonNullable<DomainDraft["policy"]>, key: string): void {
    const text = this.text(key);
    if (text === undefined) return;
    this.draft.policy = { ...this.draft.policy, [end]: text };
    this.places.set(`policy.${end}`, { place: this.values.get(key)!.place, key });
  }

  /** It is the memory where only it is given; else the two must be the same. */
  maxmem(key: string): void {
    const number = this.number(key);
    if (!this.values.has("memory")) this.put("memoryMib", key, number);
  }

  type(key: string): void {
    const { place } = this.values.get(key)!;
    const text = this.text(key);
    if (text === undefined || text === "pvh") return;
    const kinds = ["pv", "hvm"].includes(text) ? `there are no ${text.toUpperCase()} guests here; ` : "";
    this.report.fault({ place, key }, `${JSON.stringify(text)} is not supported: ${kinds}accepted: "pvh"`);
  }

  disks(key: string): void {
    const vbds: NonNullable<DomainDraft["vbds"]> = [];
    for (const { text, place, name } of this.list(key) ?? []) {
      const vbd = readDisk(text, { place, key: name }, this.report);
      if (vbd === undefined) continue;
      this.placeDevice(`vbds.${vbds.length}`, ["target", "vdev", "access", "model"], place, name);
      vbds.push(vbd);
    }
    this.draft.vbds = vbds;
  }

  vifs(key: string): void {
    this.draft.vifs = (this.list(key) ?? []).map(({ text, place, name }, i) => {
      this.placeDevice(`vifs.${i}`, ["mac", "ip", "bridge", "rate", "model"], place, name);
      return readVif(text, i, { place, key: name }, this.report);
    });
  }

  /** CPU sets: a text is for all vCPUs, a list has one for each from 0 on. */
  cpus(part: "cpus" | "cpusSoft", key: string): void {
    const { value, place } = this.values.get(key)!;
    const sets = value.kind === "atom" ? [{ text: value.text, place, name: key }] : (this.list(key) ?? []);
    sets.forEach((set, i) => this.places.set(`${part}.${i}`, { place: set.place, key: set.name }));
    this.draft[part] = sets.map(({ text }, i) => (value.kind === "atom" ? text : `${i}=${text}`));
  }

  private placeDevice(path: string, parts: string[], place: Place, key: string): void {
    this.places.set(path, { place, key });
    for (const part of parts) this.places.set(`${path}.${part}`, { place, key: `${key}.${part}` });
  }

  /** What only several keys together say. */
  private together(): void {
    this.sameAs("maxmem", "memory", "a guest starts with all of its memory");
    this.sameAs("on_watchdog", "on_crash", "there is one action for both", "destroy");
    const crash = this.values.get("on_crash");
    if (crash !== undefined && !this.values.has("on_watchdog") && plainText(crash.value) !== "destroy") {
      this.report.note(
        { place: crash.place, key: "on_crash" },
        "for a watchdog that ran out too, where xl's default is destroy",
      );
    }
    if (!this.values.has("type") && !this.values.has("builder")) {
      const text =
        'is not given: xl would make a PV domain; here the kernel says whether it is PVH or PVHv1 (type = "pvh")';
      this.report.note({ place: this.whole, key: "type" }, text);
    }
    this.commandLine();
  }

  /** Refuses a limit that is not what it limits. @param otherwise what that is when it is not given; nothing: the limit itself */
  private sameAs(limit: string, key: string, why: string, otherwise?: string): void {
    const [is, other] = [this.values.get(limit), this.values.get(key)];
    // That a value is a list is told already.
    if (is?.value.kind !== "atom" || other?.value.kind === "list") return;
    const [a, b] = [is.value.text, other?.value.text ?? otherwise].map((text) => text && (numberOf(text) ?? text));
    if (b === undefined || a === b) return;
    const given = other !== undefined ? `${key}, ${b}` : `${b}, which ${key} is when it is not given`;
    this.report.fault({ place: is.place, key: limit }, `${a} is not the same as ${given}: ${why}`);
  }

  private commandLine(): void {
    const [cmdline, root, extra] = ["cmdline", "root", "extra"].map((key) =>
      this.values.has(key) ? this.text(key) : undefined,
    );
    if (cmdline !== undefined) {
      this.put("cmdline", "cmdline", cmdline);
      for (const key of ["root", "extra"].filter((key) => this.values.has(key))) {
        this.report.note(
          { place: this.values.get(key)!.place, key },
          "left out: there is a cmdline, which takes its place, as in xl",
        );
      }
    } else if (root !== undefined || extra !== undefined) {
      const words = [root === undefined ? undefined : `root=${root}`, extra].filter((word) => word !== undefined);
      this.put("cmdline", extra === undefined ? "root" : "extra", words.join(" "));
    }
  }
}

/** What reads each supported key; those of `together` are read there. */
const READERS: Record<string, (reader: XlReader, key: string) => void> = {
  name: (reader, key) => reader.put("name", key, reader.text(key)),
  uuid: (reader, key) => reader.put("uuid", key, reader.text(key)),
  type: (reader, key) => reader.type(key),
  kernel: (reader, key) => reader.put("kernel", key, imageIn(reader.text(key))),
  ramdisk: (reader, key) => reader.put("ramdisk", key, imageIn(reader.text(key))),
  memory: (reader, key) => reader.put("memoryMib", key, reader.number(key)),
  maxmem: (reader, key) => reader.maxmem(key),
  vcpus: (reader, key) => reader.put("vcpus", key, reader.number(key)),
  maxvcpus: (reader, key) => reader.put("maxVcpus", key, reader.number(key)),
  cpus: (reader, key) => reader.cpus("cpus", key),
  cpus_soft: (reader, key) => reader.cpus("cpusSoft", key),
  cpu_weight: (reader, key) => reader.put("weight", key, reader.number(key)),
  on_poweroff: (reader, key) => reader.action("poweroff", key),
  on_reboot: (reader, key) => reader.action("reboot", key),
  on_crash: (reader, key) => reader.action("crash", key),
  on_watchdog: (reader, key) => void reader.text(key),
  on_soft_reset: (reader, key) => reader.action("softReset", key),
  cmdline: () => {},
  root: () => {},
  extra: () => {},
  disk: (reader, key) => reader.disks(key),
  vif: (reader, key) => reader.vifs(key),
};

/** The keys that `create` reads. */
export const READ_KEYS: readonly string[] = Object.keys(READERS);

function imageIn(text: string | undefined) {
  return text === undefined ? undefined : imageOf(text);
}

/** A single value's text, "[]" for an empty list, null for another. */
function plainText(value: XlValue): string | null {
  if (value.kind === "atom") return value.text;
  return value.items.length === 0 ? "[]" : null;
}

/** As C's strtol with base 0; undefined for what is no number. */
function numberOf(text: string): number | undefined {
  const match = /^[ \t\n]*([-+]?)(?:0x([0-9a-f]{1,13})|(0[0-7]{0,17})|([1-9][0-9]{0,15}))$/i.exec(text);
  if (match === null) return undefined;
  const [, sign, hex, octal, decimal] = match;
  const value = hex !== undefined ? parseInt(hex, 16) : octal !== undefined ? parseInt(octal, 8) : Number(decimal);
  return sign === "-" ? -value : value;
}

function join(a: XlValue, b: XlValue): XlValue | null {
  if (a.kind === "list" && b.kind === "list") return { ...b, items: [...a.items, ...b.items] };
  if (a.kind === "atom" && b.kind === "atom") return { ...b, text: a.text + b.text };
  return null;
}
