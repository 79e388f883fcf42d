/**
 * What a domain is to be: the one description behind xl.cfg files, LightVM's JSON files and the command line. It holds what
 * Typevisor's `create` understands, and the rules are those of domain 0 (toolstack/control), which checks once more; here
 * an error has the place where the value is written. test/unit/cli/description.test.ts holds that both agree.
 */
import * as v from "valibot";
import { CommandError } from "../../api/command-error.ts";
import { parseCpuList } from "../../api/cpu-list.ts";
import { parseIpv4, parseMac } from "../../api/devices/addresses.ts";
import { deviceNumber } from "../../api/devices/device-number.ts";
import {
  BRIDGE_NAME_BYTES,
  DEVICE_MODELS,
  FILE_CHARACTERS,
  isBridgeName,
  isFilePath,
  isLabel,
  isModuleName,
  isVolumeName,
  LABEL_CHARACTERS,
  RAM_BYTES,
  TARGET_NAME_BYTES,
} from "../../api/devices/names.ts";
import { END_ACTIONS, RESET_ACTIONS, DEFAULT_POLICY } from "../../api/policy.ts";
import { DEFAULT_MEMORY_MIB, NAME_BYTES } from "../../api/requests/domains.ts";
import { MAX_WEIGHT } from "../../api/requests/scheduling.ts";
import { SECTOR_BYTES } from "../../api/sizes.ts";
import { ConfigError, inOrder, type Place, type Problem } from "./problems.ts";

const MAX_MEMORY_MIB = 1024 * 1024;
const MAX_VCPUS = 64;
/** CPUs that a set may have: which of them the machine has, domain 0 knows. */
const CPUS_MOST = 64;
/** The longest text in a request. */
const CMDLINE_CHARACTERS = 4096;
const MAX_BYTES_PER_SECOND = 1e12;
const MAX_INTERVAL_US = 9_999_999;

/** An error that names what is accepted: the value's, or that there is none. */
function wanted(accepted: string): (issue: { input: unknown }) => string {
  return ({ input }) =>
    input === undefined ? `is missing: ${accepted}` : `${JSON.stringify(input)} is not ${accepted}`;
}

function words<const Values extends readonly string[]>(values: Values) {
  return v.picklist(values, wanted(`one of ${values.join(", ")}`));
}

function text(accepted: string, valid: (text: string) => boolean) {
  return v.pipe(v.string(wanted(accepted)), v.check(valid, wanted(accepted)));
}

function whole(unit: string, least: number, most: number) {
  const said = wanted(`a whole number${unit} from ${least} to ${most}`);
  return v.pipe(
    v.number(said),
    v.check((count) => Number.isInteger(count) && count >= least && count <= most, said),
  );
}

/** Bytes of UTF-8. */
function bytesOf(name: string): number {
  return new TextEncoder().encode(name).length;
}

function isName(name: string): boolean {
  return bytesOf(name) >= 1 && bytesOf(name) <= NAME_BYTES && !/[\x00-\x20\x7f]/.test(name) && !/^[0-9]+$/.test(name);
}

/** By the rules of domain 0, which return what is wrong. */
const isMac = (mac: string) => typeof parseMac(mac) !== "string";
const isHostAddress = (ip: string) => typeof parseIpv4(ip) !== "string";

/** Settings are separated by commas, and trimmed at their end. */
const isSetting = (text: string) => !text.includes(",") && text === text.trimEnd();

const A_FILE = "a file's path, or module:NAME for a boot module";

const Image = v.strictObject(
  {
    /** `file`: a path of this computer; `module`: one of Typevisor's boot modules. */
    from: v.picklist(["file", "module"]),
    name: text(A_FILE, (name) => name !== "" && !name.includes("\0")),
  },
  wanted(A_FILE),
);

const Rate = v.strictObject({
  bytesPerSecond: whole(" of bytes a second", 1, MAX_BYTES_PER_SECOND),
  /** Within it what is allowed may be sent at once. */
  intervalUs: whole(" of microseconds", 1, MAX_INTERVAL_US),
});

const Vif = v.strictObject({
  mac: v.optional(text("a card's own MAC address, such as 00:16:3e:12:34:56", isMac)),
  ip: v.optional(text("a host's IPv4 address, such as 10.0.0.2", isHostAddress)),
  bridge: v.optional(text(`a bridge's name: letters, digits and ._-, ${BRIDGE_NAME_BYTES} at most`, isBridgeName)),
  rate: v.optional(Rate),
  model: v.optional(words(DEVICE_MODELS)),
});

const Target = v.variant("kind", [
  v.strictObject({
    kind: v.literal("volume"),
    name: text(`a volume's name: letters, digits and ._+@-, ${TARGET_NAME_BYTES} at most`, isVolumeName),
  }),
  v.strictObject({
    kind: v.literal("module"),
    name: text(
      `a boot module's name: 1 to ${TARGET_NAME_BYTES} visible characters without blanks or commas`,
      (name) => isModuleName(name) && isSetting(name),
    ),
  }),
  v.strictObject({
    kind: v.literal("part"),
    name: text(
      `a partition's label: 1 to ${LABEL_CHARACTERS} characters without commas`,
      (name) => isLabel(name) && isSetting(name),
    ),
  }),
  v.strictObject({
    kind: v.literal("file"),
    name: text(
      `a path of a file on a FAT partition, [LABEL/]PATH: ${FILE_CHARACTERS} characters of ASCII at most, no commas, no empty ` +
        'name, none "." or ".."',
      (name) => isFilePath(name) && isSetting(name),
    ),
  }),
  v.strictObject({
    kind: v.literal("ram"),
    /** Its bytes, in digits. */
    name: text(
      `a size such as ram:4M: ${SECTOR_BYTES} bytes to 16M, a multiple of ${SECTOR_BYTES}`,
      (name) => /^[1-9][0-9]{0,8}$/.test(name) && Number(name) <= RAM_BYTES && Number(name) % SECTOR_BYTES === 0,
    ),
  }),
]);

const Vbd = v.pipe(
  v.strictObject({
    target: Target,
    vdev: text("a disk's name such as xvda or xvdb1", (name) => deviceNumber(name) !== null),
    access: words(["r", "w"]),
    model: v.optional(words(DEVICE_MODELS)),
  }),
  v.forward(
    v.check(({ target, access }) => target.kind !== "module" || access === "r", "a boot module is read-only: write r"),
    ["access"],
  ),
);

/** xl's defaults. */
const Policy = v.strictObject({
  poweroff: v.optional(words(END_ACTIONS), DEFAULT_POLICY.poweroff),
  reboot: v.optional(words(END_ACTIONS), DEFAULT_POLICY.reboot),
  /** For a watchdog that ran out too. */
  crash: v.optional(words(END_ACTIONS), DEFAULT_POLICY.crash),
  softReset: v.optional(words(RESET_ACTIONS), DEFAULT_POLICY.softReset),
});

/** Why a text is no set of CPUs, of whatever machine; undefined: it is one. */
function cpusFault(text: string): string | undefined {
  try {
    parseCpuList("cpus", text.replace(/^[0-9]{1,4}=/, ""), CPUS_MOST);
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return error.message.replace(/^cpus: /, "");
  }
}

const Cpus = v.pipe(
  v.string(wanted("a set of CPUs, such as 0-3")),
  v.rawCheck(({ dataset, addIssue }) => {
    const message = dataset.typed ? cpusFault(dataset.value) : undefined;
    if (message !== undefined) addIssue({ message });
  }),
);

const Description = v.strictObject({
  name: text(`a name: 1 to ${NAME_BYTES} bytes without blanks, no number`, isName),
  uuid: v.optional(
    text(
      "a UUID such as 5f0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e, not of zeroes alone",
      (uuid) => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid) && /[1-9a-f]/i.test(uuid),
    ),
  ),
  kernel: Image,
  ramdisk: v.optional(Image),
  cmdline: v.optional(
    text(
      `text of at most ${CMDLINE_CHARACTERS} characters, none of them 0`,
      (line) => line.length <= CMDLINE_CHARACTERS && !line.includes("\0"),
    ),
    "",
  ),
  memoryMib: v.optional(whole(" of MiB", 1, MAX_MEMORY_MIB), DEFAULT_MEMORY_MIB),
  /** VCPUs that it is asked to use, and those that it has: the same, if not given. */
  vcpus: v.optional(whole("", 1, MAX_VCPUS), 1),
  maxVcpus: v.optional(whole("", 1, MAX_VCPUS)),
  /** Its share of the CPU; 256 if not given. */
  weight: v.optional(whole("", 1, MAX_WEIGHT)),
  /** CPUs that its vCPUs may run on, and would rather: sets of all vCPUs', and of those with a number, such as "0=1-3". */
  cpus: v.optional(v.array(Cpus)),
  cpusSoft: v.optional(v.array(Cpus)),
  policy: v.optional(Policy, {}),
  vifs: v.optional(v.array(Vif), []),
  vbds: v.optional(v.array(Vbd), []),
  /** How it is told of its devices; if not given, as domain 0 finds right for its kernel. */
  model: v.optional(words(DEVICE_MODELS)),
  /** It does not run when it is made. */
  paused: v.optional(v.boolean(wanted("true or false")), false),
});

export type DomainDescription = v.InferOutput<typeof Description>;
export type VifDescription = DomainDescription["vifs"][number];
export type VbdDescription = DomainDescription["vbds"][number];
export type ImageDescription = DomainDescription["kernel"];
/** What a front end has read: not yet checked, and without what is not given. */
export type DomainDraft = Partial<v.InferInput<typeof Description>>;

/** Where the parts of a draft are written, and under which key: by the path in the description, such as "vifs.1.mac". */
export type Places = Map<string, { place: Place; key: string }>;

/**
 * A draft with the defaults, once it is found right.
 * @param whole the place of what is not there
 * @throws ConfigError that names each fault's place and key, and what is accepted
 */
export function checkDescription(draft: DomainDraft, places: Places, whole: Place): DomainDescription {
  // What must be there is said of the part, not of the whole.
  const result = v.safeParse(Description, { name: undefined, kernel: undefined, ...draft });
  const problems: Problem[] = (result.issues ?? []).map(({ path, message }) => ({
    ...placeOf(path?.map(({ key }) => String(key)) ?? [], places, whole),
    text: message,
  }));
  problems.push(...vdevsTwice(draft, places, whole), ...vcpusTooMany(draft, places, whole));
  if (problems.length > 0 || !result.success) throw new ConfigError(inOrder(problems));
  return result.output;
}

/** The place of what is nearest above a path; the key of the description itself where nothing of it is written. */
function placeOf(path: string[], places: Places, whole: Place): { place: Place; key: string } {
  for (let length = path.length; length > 0; length--) {
    const known = places.get(path.slice(0, length).join("."));
    if (known !== undefined) return known;
  }
  return { place: whole, key: path.join(".") };
}

/** More vCPUs are to be used than there are, or CPUs are said of a vCPU that there is not. */
function vcpusTooMany(draft: DomainDraft, places: Places, whole: Place): Problem[] {
  const { vcpus = 1, maxVcpus = vcpus } = draft;
  const problems: Problem[] = [];
  if (maxVcpus < vcpus) {
    problems.push({ ...placeOf(["maxVcpus"], places, whole), text: `${maxVcpus} is less than vcpus, ${vcpus}` });
  }
  for (const key of ["cpus", "cpusSoft"] as const) {
    draft[key]?.forEach((text, i) => {
      const vcpu = /^([0-9]{1,4})=/.exec(text)?.[1];
      if (vcpu === undefined || Number(vcpu) < maxVcpus) return;
      problems.push({ ...placeOf([key, String(i)], places, whole), text: `there is no vCPU ${vcpu}` });
    });
  }
  return problems;
}

function vdevsTwice({ vbds }: DomainDraft, places: Places, whole: Place): Problem[] {
  const seen = new Set<number>();
  const problems: Problem[] = [];
  vbds?.forEach(({ vdev }, i) => {
    const disk = deviceNumber(vdev);
    if (disk === null) return;
    if (seen.has(disk)) {
      const at = placeOf(["vbds", String(i), "vdev"], places, whole);
      problems.push({ ...at, text: `vdev ${vdev} is another disk's already` });
    }
    seen.add(disk);
  });
  return problems;
}
