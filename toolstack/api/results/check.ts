/** `check` for people. */
import * as v from "valibot";

export const machineCheck = v.object({
  features: v.array(
    v.object({
      name: v.string(),
      use: v.picklist(["required", "used", "unused"]),
      offered: v.boolean(),
      /** How many, which kind. */
      detail: v.nullable(v.string()),
      /** The consequence of its absence, or for an unused one its possible use. */
      note: v.string(),
    }),
  ),
  /** Typevisor itself runs in a virtual machine. */
  nested: v.boolean(),
  /** Why no guest can run; null when guests can. */
  refusal: v.nullable(v.string()),
});

export type MachineCheck = v.InferOutput<typeof machineCheck>;

const USES = ["required", "used", "unused"] as const;

function line({ name, use, offered, detail, note }: MachineCheck["features"][number]): string {
  const what = offered && detail !== null ? `${name}: ${detail}` : name;
  const meaning = (use === "unused" || !offered) && note !== "" ? ` (${note})` : "";
  return `${use.padEnd(10)}${(offered ? "yes" : "no").padEnd(5)}${what}${meaning}`;
}

export function* checkLines({ features, nested, refusal }: MachineCheck): Generator<string> {
  for (const use of USES) for (const feature of features) if (feature.use === use) yield line(feature);
  if (nested) yield "Typevisor itself runs in a virtual machine: what it offers is the hypervisor's choice.";
  if (refusal !== null) return;
  const lacking = features.filter(({ use, offered }) => use === "used" && !offered).map(({ name }) => name);
  yield `Guests can run here.${lacking.length === 0 ? "" : ` They would run better with: ${lacking.join(", ")}.`}`;
}
