/** Random descriptions of domains, all right ones. */
import fc from "fast-check";
import { END_ACTIONS, RESET_ACTIONS } from "../../../toolstack/api/policy.ts";
import { DEVICE_MODELS } from "../../../toolstack/api/devices/names.ts";
import type { DomainDescription, VbdDescription, VifDescription } from "../../../toolstack/cli/config/description.ts";

function letters(from: string, least: number, most: number): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...from), minLength: least, maxLength: most });
}

const ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const VISIBLE = Array.from({ length: 0x7e - 0x21 + 1 }, (_, i) => String.fromCharCode(0x21 + i)).join("");
const WITHOUT_COMMA = VISIBLE.replace(",", "");

function optional<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(value, { nil: undefined });
}

/** Without the members that are undefined: descriptions that were read have none. */
function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}

const hex = (digits: number) => letters("0123456789abcdef", digits, digits);
const name = fc
  .oneof(letters(VISIBLE, 1, 64), letters("äöü€😀abc", 1, 16))
  .filter((text) => !/^[0-9]+$/.test(text) && Buffer.byteLength(text) <= 64);
const mac = fc
  .tuple(fc.constantFrom("00", "02", "aa", "FE", "5c"), fc.array(hex(2), { minLength: 5, maxLength: 5 }))
  .map(([first, rest]) => [first, ...rest].join(":"))
  .filter((text) => /[1-9a-f]/i.test(text));
const byte = fc.integer({ min: 0, max: 255 });
const ip = fc
  .tuple(fc.integer({ min: 1, max: 223 }), byte, byte, byte)
  .filter(([first]) => first !== 127)
  .map((bytes) => bytes.join("."));
const bridge = fc.tuple(letters(ALNUM, 1, 1), letters(`${ALNUM}._-`, 0, 14)).map((parts) => parts.join(""));
const rate = fc.record({
  bytesPerSecond: fc.integer({ min: 1, max: 1e12 }),
  intervalUs: fc.integer({ min: 1, max: 9_999_999 }),
});

export const vifs: fc.Arbitrary<VifDescription> = fc
  .record({
    mac: optional(mac),
    ip: optional(ip),
    bridge: optional(bridge),
    rate: optional(rate),
    model: optional(fc.constantFrom(...DEVICE_MODELS)),
  })
  .map(compact);

const target: fc.Arbitrary<VbdDescription["target"]> = fc.oneof(
  fc.record({
    kind: fc.constant("volume" as const),
    name: fc.tuple(letters(ALNUM, 1, 1), letters(`${ALNUM}._+@-`, 0, 62)).map((parts) => parts.join("")),
  }),
  fc.record({ kind: fc.constant("module" as const), name: letters(WITHOUT_COMMA, 1, 63) }),
  fc
    .record({ kind: fc.constant("part" as const), name: letters(`${WITHOUT_COMMA} `, 1, 36) })
    .filter(({ name }) => name === name.trimEnd()),
  fc.record({
    kind: fc.constant("file" as const),
    name: fc
      .array(
        letters(`${ALNUM}_-+ ~`, 1, 20).map((part) => `a${part}b`),
        { minLength: 1, maxLength: 5 },
      )
      .map((parts) => parts.join("/")),
  }),
  fc.record({
    kind: fc.constant("ram" as const),
    name: fc.integer({ min: 1, max: 32768 }).map((sectors) => String(512 * sectors)),
  }),
);
/** Names of different disks for different numbers. */
const vdev = fc.oneof(
  fc.integer({ min: 0, max: 25 }).map((i) => `xvd${String.fromCharCode(0x61 + i)}`),
  fc.integer({ min: 26, max: 1000 }).map((i) => `d${i}p${i % 256}`),
  fc.integer({ min: 0, max: 15 }).map((i) => `sd${String.fromCharCode(0x61 + i)}${i || ""}`),
  fc.integer({ min: 0, max: 3 }).map((i) => `hd${String.fromCharCode(0x61 + i)}`),
);

export const vbds: fc.Arbitrary<VbdDescription> = fc
  .record({
    target,
    vdev,
    access: fc.constantFrom("r" as const, "w" as const),
    model: optional(fc.constantFrom(...DEVICE_MODELS)),
  })
  .map((vbd) => compact(vbd.target.kind === "module" ? { ...vbd, access: "r" as const } : vbd));

const image = fc.oneof(
  // A path may have any character but 0.
  fc.record({
    from: fc.constant("file" as const),
    name: fc.string({ minLength: 1 }).map((path) => `/boot/${path.replaceAll("\0", "")}`),
  }),
  fc.record({ from: fc.constant("module" as const), name: letters(VISIBLE, 1, 20) }),
);

export const descriptions: fc.Arbitrary<DomainDescription> = fc
  .record({
    name,
    uuid: optional(fc.tuple(hex(8), hex(4), hex(4), hex(4), hex(12)).map((parts) => parts.join("-"))),
    kernel: image,
    ramdisk: optional(image),
    cmdline: fc
      .oneof(fc.string(), fc.constantFrom("", "root=/dev/xvda1 ro", `a="b c" d='e'`))
      .map((line) => line.replaceAll("\0", "")),
    memoryMib: fc.integer({ min: 1, max: 1024 * 1024 }),
    vcpus: fc.integer({ min: 1, max: 64 }),
    weight: optional(fc.integer({ min: 1, max: 65_535 })),
    policy: fc.record({
      poweroff: fc.constantFrom(...END_ACTIONS),
      reboot: fc.constantFrom(...END_ACTIONS),
      crash: fc.constantFrom(...END_ACTIONS),
      softReset: fc.constantFrom(...RESET_ACTIONS),
    }),
    vifs: fc.array(vifs, { maxLength: 4 }),
    vbds: fc.uniqueArray(vbds, { maxLength: 4, selector: ({ vdev }) => vdev }),
    model: optional(fc.constantFrom(...DEVICE_MODELS)),
    paused: fc.boolean(),
  })
  .filter(({ uuid }) => uuid === undefined || /[1-9a-f]/.test(uuid))
  .map(compact);
