/** The layer rule and AssemblyScript's formatting, on small files that break or keep them. */
import path from "node:path";
import test from "ava";
import { ESLint } from "eslint";
import * as prettier from "prettier";
import { fromRoot, root } from "../../../scripts/paths.ts";

const eslint = new ESLint({ cwd: root });

async function layerErrors(file: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: fromRoot(file) });
  return result.messages.filter((message) => message.ruleId === "typevisor/layers").map((message) => message.message);
}

for (const [file, from, allowed] of [
  ["kernel/x.ts", "../arch-x86/hw", true],
  ["kernel/x.ts", "./frames", true],
  ["arch-x86/x.ts", "../abi/xen", true],
  ["arch-x86/svm/x.ts", "../hw", true],
  ["arch-x86/x.ts", "../kernel/frames", false],
  ["arch-x86/svm/x.ts", "../../kernel/frames", false],
  ["abi/x.ts", "../kernel/frames", false],
  ["toolstack/control/x.ts", "../../kernel/frames", false],
  ["toolstack/control/x.ts", "../../abi/xen", true],
  ["toolstack/control/x.ts", "../../noxs/x", false],
  ["toolstack/control/x.ts", "../api/requests.ts", true],
  ["toolstack/control/x.ts", "../cli/x.ts", false],
  ["toolstack/control/x.ts", "node:fs", false],
  ["toolstack/control/x.ts", "valibot", false],
  ["toolstack/api/x.ts", "valibot", true],
  ["toolstack/api/x.ts", "zod", false],
  ["toolstack/api/x.ts", "node:fs", false],
  ["toolstack/api/x.ts", "../control/x.ts", false],
  ["toolstack/cli/x.ts", "node:fs", true],
  ["toolstack/cli/x.ts", "peggy", true],
  ["toolstack/cli/x.ts", "../api/x.ts", true],
  ["toolstack/cli/config/x.ts", "../../../abi/xen", true],
  ["toolstack/cli/config/x.ts", "../../control/x.ts", false],
  ["toolstack/cli/config/x.ts", "../../../kernel/frames", false],
  ["kernel/x.ts", "../scripts/paths", false],
  ["scripts/x.ts", "../abi/xen", true],
] as const) {
  test(`${file} ${allowed ? "may" : "may not"} import ${from}`, async (t) => {
    const errors = await layerErrors(file, `import { a } from "${from}";\nexport const b = a;\n`);
    t.is(errors.length, allowed ? 0 : 1, errors.join("; "));
  });
}

test("AssemblyScript's decorators on functions are formatted, not refused", async (t) => {
  const filepath = path.join(root, "kernel/x.ts");
  const options = { ...(await prettier.resolveConfig(filepath)), filepath };
  const formatted = await prettier.format(
    '@inline\nexport function f():void{}\n@external("hw","g") declare function g():u32;',
    options,
  );
  t.is(formatted, '@inline\nexport function f(): void {}\n@external("hw","g") declare function g(): u32;\n');
});
