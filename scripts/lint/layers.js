/**
 * ESLint rule "typevisor/layers": an import only ever points down, and never into another sandbox's code.
 * The table below is the whole rule: folder, and the folders it may import besides itself.
 */
import path from "node:path";

const LAYERS = {
  abi: [],
  "arch-x86": ["abi"],
  kernel: ["arch-x86", "abi"],
  codec: ["abi"],
  drivers: ["abi"],
  noxs: ["drivers", "abi"],
  toolstack: ["noxs", "abi"],
};

/** Folders whose files leave the machine as part of the image: they may import nothing but files of this repository. */
const BOOTED = ["abi/", "arch-x86/", "kernel/", "codec/", "drivers/", "noxs/", "toolstack/control/"];

export const layers = {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      upward:
        "{{from}}/ may import only {{allowed}}, not {{to}}/ (layers point down: see the table in scripts/lint/layers.js)",
      foreign: "'{{name}}' does not exist where {{from}}/ runs: import only files of this repository",
    },
  },
  create(context) {
    const file = path.relative(context.cwd, context.filename).split(path.sep).join("/");
    const from = file.split("/")[0];
    const allowed = LAYERS[from];
    if (allowed === undefined) return {};

    function check(node) {
      const name = node.source?.value;
      if (typeof name !== "string") return;
      if (!name.startsWith(".")) {
        if (BOOTED.some((folder) => file.startsWith(folder))) {
          context.report({ node, messageId: "foreign", data: { name, from } });
        }
        return;
      }
      const to = path.posix.normalize(path.posix.join(path.posix.dirname(file), name)).split("/")[0];
      if (to !== from && !allowed.includes(to)) {
        const list = allowed.length === 0 ? "nothing outside itself" : allowed.map((layer) => `${layer}/`).join(", ");
        context.report({ node, messageId: "upward", data: { from, to, allowed: list } });
      }
    }

    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
    };
  },
};
