/**
 * From a JSON file of LightVM's `chaos` to the description of a domain. Its keys are those that LightVM's libh2 reads; others are
 * refused, as there. Of two that are the same libh2 takes the last one; here that is refused.
 */
import { evaluate, parse, type JSONValue, type ObjectNode, type ValueNode } from "@humanwhocodes/momoa";
import { checkDescription, type DomainDescription, type DomainDraft, type Places } from "./description.ts";
import { ConfigError, inOrder, nearest, notYetTold, withoutOverflow, type Place, type Problem } from "./problems.ts";
import type { ReadConfig } from "./read-config.ts";
import { imageOf, targetOf } from "./target.ts";

type VifDraft = NonNullable<DomainDraft["vifs"]>[number];
type VbdDraft = NonNullable<DomainDraft["vbds"]>[number];

const ROOT_KEYS = [
  "name",
  "kernel",
  "ramdisk",
  "cmdline",
  "memory",
  "vcpus",
  "address_size",
  "vifs",
  "vbds",
  "paused",
  "xen",
] as const;
/** Without a default in libh2, though the description has one. */
const REQUIRED_KEYS = ["memory", "vcpus"] as const;
const VCPUS_KEYS = ["count", "cpumap"] as const;
const VIF_KEYS = ["ip", "mac", "bridge"] as const;
const VBD_KEYS = ["target", "type", "vdev", "access"] as const;
const VBD_TYPES = ["phy", "file"];
const XEN_KEYS = ["pvh", "dev_method"] as const;
/** LightVM's names of how a guest is told of its devices. */
const DEVICE_METHODS: Record<string, "noxs" | "xenbus"> = { xenstore: "xenbus", noxs: "noxs" };

/**
 * @param text of the file
 * @param source the file as the user named it
 * @throws ConfigError with every fault, each with file, line, key and what is accepted
 */
export function readChaosConfig(text: string, source: string): ReadConfig {
  return new ChaosReader(text, source).read();
}

/** A value, where it is written, and its key from the root on. */
interface Entry {
  node: ValueNode;
  place: Place;
  key: string;
}

class ChaosReader {
  private readonly faults: Problem[] = [];
  private readonly notes: Problem[] = [];
  private readonly draft: DomainDraft = {};
  private readonly places: Places = new Map();
  private readonly whole: Place;

  constructor(
    private readonly text: string,
    private readonly source: string,
  ) {
    this.whole = { source };
  }

  read(): ReadConfig {
    const node = this.parse();
    const root = this.members({ node, place: this.placeOf(node), key: "" }, ROOT_KEYS);
    if (root === undefined) throw new ConfigError(this.faults);
    for (const key of REQUIRED_KEYS.filter((key) => !root.has(key))) {
      this.fault({ place: this.whole, key }, "is missing: chaos has no default for it");
    }
    this.put("name", root.get("name"));
    this.put("kernel", root.get("kernel"), imageIn);
    this.put("ramdisk", root.get("ramdisk"), imageIn);
    this.put("cmdline", root.get("cmdline"));
    this.put("memoryMib", root.get("memory"));
    this.put("paused", root.get("paused"));
    this.vcpus(root.get("vcpus"));
    this.addressSize(root.get("address_size"));
    this.draft.vifs = this.elements(root.get("vifs")).flatMap((entry, i) => this.vif(entry, `vifs.${i}`));
    this.vbds(root.get("vbds"));
    this.xen(root.get("xen"));
    return this.finish();
  }

  private finish(): ReadConfig {
    let description: DomainDescription | undefined;
    try {
      description = checkDescription(this.draft, this.places, this.whole);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.faults.push(...notYetTold(error.problems, this.faults));
    }
    if (description === undefined || this.faults.length > 0) throw new ConfigError(inOrder(this.faults));
    return { description, notes: inOrder(this.notes) };
  }

  private fault({ place, key }: { place: Place; key: string }, text: string): void {
    this.faults.push(key === "" ? { place, text } : { place, key, text });
  }

  private note({ place, key }: Entry, text: string): void {
    this.notes.push({ place, key, text });
  }

  private placeOf(node: { loc: { start: { line: number } } }): Place {
    return { source: this.source, line: node.loc.start.line };
  }

  private parse(): ValueNode {
    try {
      return withoutOverflow(this.source, () => parse(this.text, { mode: "json" }).body);
    } catch (error) {
      const { line, offset } = error as { line?: number; offset?: number };
      if (line === undefined || offset === undefined) throw error;
      throw new ConfigError([{ place: { source: this.source, line }, text: syntaxFault(this.text, offset) }]);
    }
  }

  /** An object's members; undefined, with a fault, for what is none. */
  private members<Key extends string>(entry: Entry, known: readonly Key[]): Map<Key, Entry> | undefined {
    if (entry.node.type !== "Object") {
      this.fault(entry, `should be an object with ${known.join(", ")}`);
      return undefined;
    }
    const members = new Map<Key, Entry>();
    for (const { name, value } of (entry.node as ObjectNode).members) {
      const written = name.type === "String" ? name.value : name.name;
      const at = {
        node: value,
        place: this.placeOf(name),
        key: entry.key === "" ? written : `${entry.key}.${written}`,
      };
      const key = known.find((one) => one === written);
      if (key === undefined) {
        const meant = nearest(written, known);
        this.fault(
          at,
          `is no key of chaos; ${meant === undefined ? `keys: ${known.join(", ")}` : `is ${meant} meant?`}`,
        );
      } else if (members.has(key)) {
        this.fault(at, `is given twice: in line ${members.get(key)!.place.line}, too`);
      } else {
        this.checkStrings(at);
        members.set(key, at);
      }
    }
    return members;
  }

  /** JSON has no control characters in strings; the parser lets them pass. */
  private checkStrings(at: Entry): void {
    if (at.node.type !== "String") return;
    const { start, end } = at.node.loc;
    if (/[\x00-\x1f]/.test(this.text.slice(start.offset, end.offset))) {
      this.fault(at, "a control character in a string: write it as an escape, such as \\n");
    }
  }

  /** An array's elements; none, with a fault, for what is none. */
  private elements(entry: Entry | undefined): Entry[] {
    if (entry === undefined) return [];
    if (entry.node.type !== "Array") {
      this.fault(entry, "should be an array of objects");
      return [];
    }
    return entry.node.elements.map(({ value }, i) => ({
      node: value,
      place: this.placeOf(value),
      key: `${entry.key}[${i}]`,
    }));
  }

  /** Puts a value into the draft as it is: the description refuses one of a wrong type, too. */
  private put<Key extends keyof DomainDraft>(
    part: Key,
    entry: Entry | undefined,
    read: (value: JSONValue) => unknown = (value) => value,
  ): void {
    if (entry === undefined) return;
    this.draft[part] = read(evaluate(entry.node)) as DomainDraft[Key];
    this.places.set(part, entry);
  }

  /** A number, or an object with it. */
  private vcpus(entry: Entry | undefined): void {
    if (entry?.node.type !== "Object") return this.put("vcpus", entry);
    const members = this.members(entry, VCPUS_KEYS)!;
    const count = members.get("count");
    if (count === undefined) this.fault(entry, "count is missing");
    else this.put("vcpus", count);
    const map = members.get("cpumap");
    if (map !== undefined) this.fault(map, "not supported: vCPUs run on every CPU that Typevisor uses; leave it out");
  }

  private addressSize(entry: Entry | undefined): void {
    if (entry === undefined) return;
    const size = evaluate(entry.node);
    if (size === 32 || size === 64) this.note(entry, "accepted without effect: the kernel itself says");
    else this.fault(entry, `${JSON.stringify(size)} is not one of 32, 64`);
  }

  private vif(entry: Entry, path: string): VifDraft[] {
    const members = this.members(entry, VIF_KEYS);
    if (members === undefined) return [];
    this.places.set(path, entry);
    const vif: Record<string, unknown> = {};
    for (const [key, value] of members) {
      vif[key] = evaluate(value.node);
      this.places.set(`${path}.${key}`, value);
    }
    return [vif];
  }

  private vbds(entry: Entry | undefined): void {
    const vbds: VbdDraft[] = [];
    for (const element of this.elements(entry)) {
      const members = this.members(element, VBD_KEYS);
      const target = members?.get("target");
      if (members === undefined || target === undefined) {
        if (members !== undefined) this.fault(element, "target is missing");
        continue;
      }
      const named = evaluate(target.node);
      const read = typeof named === "string" ? targetOf(named) : `${JSON.stringify(named)} is not a text`;
      if (typeof read === "string") {
        this.fault(target, read);
        continue;
      }
      this.vbdType(members.get("type"));
      const path = `vbds.${vbds.length}`;
      this.places.set(path, element);
      for (const [key, value] of members) this.places.set(`${path}.${key}`, value);
      const [vdev, access] = [members.get("vdev"), members.get("access")].map((one) => one && evaluate(one.node));
      vbds.push({ target: read, vdev, access } as VbdDraft);
    }
    this.draft.vbds = vbds;
  }

  private vbdType(entry: Entry | undefined): void {
    if (entry === undefined) return;
    const type = evaluate(entry.node);
    if (typeof type === "string" && VBD_TYPES.includes(type)) {
      this.note(entry, "accepted without effect: the target says what a disk is on");
    } else {
      this.fault(entry, `${JSON.stringify(type)} is not one of ${VBD_TYPES.join(", ")}`);
    }
  }

  private xen(entry: Entry | undefined): void {
    const members = entry === undefined ? undefined : this.members(entry, XEN_KEYS);
    const pvh = members?.get("pvh");
    if (pvh !== undefined && evaluate(pvh.node) !== true) {
      this.fault(pvh, "is not true, and there are no other guests: the kernel says whether it is PVH or PVHv1");
    }
    if (pvh === undefined) {
      const text = "is not given: chaos would make a PV domain; here the kernel says whether it is PVH or PVHv1";
      this.notes.push({ place: entry?.place ?? this.whole, key: "xen.pvh", text });
    }
    const method = members?.get("dev_method");
    // As in libh2.
    const named = method === undefined ? "xenstore" : evaluate(method.node);
    const model = typeof named === "string" && Object.hasOwn(DEVICE_METHODS, named) ? DEVICE_METHODS[named] : undefined;
    if (model !== undefined) this.draft.model = model;
    else this.fault(method!, `${JSON.stringify(named)} is not one of ${Object.keys(DEVICE_METHODS).join(", ")}`);
  }
}

function imageIn(value: JSONValue): unknown {
  return typeof value === "string" ? imageOf(value) : value;
}

/** @param offset of the token that is not right; of the last one where more should follow */
function syntaxFault(text: string, offset: number): string {
  const column = offset - text.lastIndexOf("\n", offset - 1);
  if (offset >= text.length) return "the file ends too early for JSON";
  const early = text.slice(offset + 1).trim() === "" ? ", or the file ends too early" : "";
  return `${JSON.stringify(text[offset])} in column ${column} is not JSON there${early}`;
}
