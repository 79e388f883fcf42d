/** docs/xl.md as a string. */
import { XL_COMMANDS, type XlCommand } from "../toolstack/cli/config/xl-commands.ts";
import { XL_KEYS, type XlKey } from "../toolstack/cli/config/xl-keys.ts";
import { DISK_PARAMETERS, VIF_PARAMETERS } from "../toolstack/cli/config/xl-specs.ts";

function commandRow({ command, verdict, implemented, note }: XlCommand): string {
  const state = verdict === "refused" ? "refused" : implemented ? "supported" : "not implemented yet";
  return `| \`${command}\` | ${state} | ${note} |`;
}

const VERDICTS: Record<XlKey["verdict"], string> = {
  supported: "supported",
  idle: "without effect",
  refused: "refused",
};

function keyRow({ key, verdict, note, except }: XlKey): string {
  const accepted = except.map((value) => `\`${value}\``).join(", ");
  return `| \`${key}\` | ${VERDICTS[verdict]} | ${note}${accepted === "" ? "" : `. Accepted: ${accepted}`} |`;
}

/** Sections with a table each. */
function tables<Row>(sections: Record<string, readonly Row[]>, head: string[], row: (one: Row) => string): string[] {
  return Object.entries(sections).flatMap(([title, rows]) => ["", `### ${title}`, "", ...head, ...rows.map(row)]);
}

function count<Row>(sections: Record<string, readonly Row[]>, counts: (one: Row) => boolean): number {
  return Object.values(sections).flat().filter(counts).length;
}

/** The whole page. */
export function xlPage(): string {
  const COMMAND_HEAD = ["| command | state | |", "|---|---|---|"];
  const KEY_HEAD = ["| key | verdict | |", "|---|---|---|"];
  const PARAMETER_HEAD = ["| parameter | verdict | |", "|---|---|---|"];
  const commands = (counts: (one: XlCommand) => boolean) => count(XL_COMMANDS, counts);
  const keys = (verdict: XlKey["verdict"]) => count(XL_KEYS, (key) => key.verdict === verdict);
  return [
    "# xl",
    "",
    "Every command of Xen 4.17's `xl` and every key of its xl.cfg, those of the manuals and those that only xl itself knows, and what",
    "Typevisor's `xl` does with them. Made by `npm run docs` from the tables in `toolstack/cli/config/`, by which the code goes;",
    "`test/unit/cli/` reads a file with each of the keys and holds that what is said here is done.",
    "",
    "## Commands",
    "",
    `${commands(() => true)} commands: ${commands((one) => one.implemented)} are implemented, ${commands((one) => one.verdict === "supported" && !one.implemented)} are to be and are not yet, ${commands((one) => one.verdict === "refused")} are refused.`,
    ...tables(XL_COMMANDS, COMMAND_HEAD, commandRow),
    "",
    "## xl.cfg",
    "",
    `What \`xl create\` does with each key: ${keys("supported")} of ${count(XL_KEYS, () => true)} are supported.`,
    "",
    "- **supported**: it does what it does in xl, within what is said beside it.",
    `- **without effect** (${keys("idle")} keys): it cannot matter here. It is accepted, and a note with file and line says so.`,
    `- **refused** (${keys("refused")} keys): nothing is created; the error has file and line, and says why. Values that ask for what is so anyway`,
    "  are accepted with a note, and so is an empty list.",
    "- Keys that xl 4.17 does not have are refused. xl itself says nothing about them.",
    "- A key that is given twice in one file has its last value, as in xl, with a note.",
    ...tables(XL_KEYS, KEY_HEAD, keyRow),
    "",
    "### Specifications of disks",
    "",
    "By name, by position (`target,format,vdev,access`), or with xend's prefixes (`phy:`, `file:`, `tap:` and the like), which have no",
    "meaning, as in xl.",
    "",
    ...PARAMETER_HEAD,
    ...[...DISK_PARAMETERS.values()].map(keyRow),
    "",
    "### Specifications of vifs",
    "",
    ...PARAMETER_HEAD,
    ...[...VIF_PARAMETERS.values()].map(keyRow),
    "",
    "### Syntax",
    "",
    "As libxlu of Xen 4.17 reads it, but for these:",
    "",
    "- A comment may end with the file, without a newline.",
    "- `\\x41` and `\\101` in a string are refused: libxlu drops the character.",
    "- A file that is not UTF-8, or is larger than 1 MiB, is refused.",
    "- Settings on the command line are complete ones each: `'memory=512; vcpus=2'`.",
    "",
  ].join("\n");
}
