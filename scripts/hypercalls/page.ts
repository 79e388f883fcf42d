/** docs/hypercalls.md as a string. */
import * as errno from "../../abi/errno.ts";
import { type Answer, CALLS, type Claim, OPERATIONS, SPECIAL_CALLS } from "./claims.ts";
import { type Hypercall, hypercallsOfXen } from "./headers.ts";

/** By domain 0 only; an ordinary guest is refused, whatever the sub-operation. */
export const CONTROL = new Set(["sysctl", "domctl"]);

/** `-EINVAL` for -22. */
export function answerName(answer: Answer): string {
  if (answer === "waits") return "the vCPU waits";
  if (answer === "ends") return "the domain ends";
  if (answer >= 0) return String(answer);
  const name = Object.entries(errno).find(([, value]) => value === -answer)?.[0];
  if (name === undefined) throw new Error(`${answer} is no errno of abi/errno.ts`);
  return `-${name}`;
}

function claimOf(table: Record<string, Claim | undefined>, name: string): Claim {
  const claim = table[name];
  if (claim === undefined) throw new Error(`scripts/hypercalls/claims.ts says nothing about ${name}`);
  return claim;
}

export function callClaim(name: string): Claim {
  return claimOf(CALLS, name);
}

export function operationClaim(name: string): Claim {
  return claimOf(OPERATIONS, name);
}

function row(number: number, name: string, claim: Claim): string {
  const state = claim.refused ? `refused: ${answerName(claim.answer)}` : "implemented";
  const zeroes = claim.refused ? "" : answerName(claim.answer);
  return `| ${number} | \`${name}\` | ${state} | ${zeroes} | ${claim.note ?? ""} | ${claim.test} |`;
}

const HEADS = ["| number | name | state | answer to zeroes | note | held by |", "|---:|---|---|---|---|---|"];

function section(hypercall: Hypercall): string[] {
  const who = CONTROL.has(hypercall.name)
    ? ["", "Answers are domain 0's. An ordinary guest gets -EACCES for another interface version, else -EPERM."]
    : [];
  const rows = hypercall.operations.map(({ number, name }) => row(number, name, operationClaim(name)));
  return ["", `## ${hypercall.number} ${hypercall.name}`, ...who, "", ...HEADS, ...rows];
}

/** The whole page. Throws when a hypercall of the headers has no claim. */
export function hypercallsPage(): string {
  const all = hypercallsOfXen();
  const single = all.filter((h) => h.operations.length === 0);
  const several = all.filter((h) => h.operations.length > 0);
  const operations = several.flatMap((h) => h.operations);
  const claims = [...single.map((h) => callClaim(h.name)), ...operations.map((o) => operationClaim(o.name))];
  const refused = claims.filter((claim) => claim.refused).length;
  return [
    "# Hypercalls",
    "",
    "Every hypercall of Xen 4.17's public headers and every sub-operation, as a PVH guest finds it here. Made by",
    "`npm run docs` from `scripts/hypercalls/`; `test/unit/kernel/hypercalls.test.ts` makes each of these calls in the",
    "hypervisor, fails when an answer is another one, and looks for the tests that are named.",
    "",
    "- **answer to zeroes**: what the call returns with a structure of zeroes, in which DOMID_SELF stands where it names a",
    "  domain. For an operation that is implemented it is one of many answers; the tests named ask for the others.",
    "- **refused**: the errno that Xen 4.17 gives a PVH guest, unless the note says how Xen differs.",
    "- **held by**: `selftest NAME` is a test of `guests/selftest`, which also runs on Debian's real Xen (`npm run test:oracle`);",
    "  the others are files of `test/` with the test's title.",
    "",
    `${claims.length} entries: ${claims.length - refused} implemented, ${refused} refused. Numbers that are not here get -ENOSYS (of console_io: -EPERM),`,
    "but for domctl 90, `XEN_DOMCTL_get_domain_state` of Xen 4.20: which domain has shut down or gone, without a walk over all.",
    "",
    "## Calls without sub-operations, or refused whatever the sub-operation",
    "",
    ...HEADS,
    ...single.map((h) => row(h.number, h.name, callClaim(h.name))),
    ...several.flatMap(section),
    "",
    "## What only some domains have",
    "",
    "`devctl` is LightVM's (docs/decisions/0008-devctl.md), the calls on page tables are those of a PV guest",
    "(docs/decisions/0009-pvhv1.md). They are not made with zeroes: the tests named have their answers.",
    "",
    "| number | name | who has it | note | held by |",
    "|---:|---|---|---|---|",
    ...SPECIAL_CALLS.map((c) => `| ${c.number} | \`${c.name}\` | ${c.who} | ${c.note} | ${c.test} |`),
    "",
  ].join("\n");
}
