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

/** Folders of a layer with rules of their own: what they may import besides themselves. */
const ROOMS = {
  "toolstack/api": [],
  "toolstack/control": ["toolstack/api", "abi"],
  // On Node; what it makes for guests, it takes from them and from the build.
  "toolstack/cli": ["toolstack/api", "abi", "scripts", "guests"],
};

/** Folders whose files leave the machine as part of the image: they may import files of this repository, and these packages. */
const BOOTED = {
  "abi/": [],
  "arch-x86/": [],
  "kernel/": [],
  "codec/": [],
  "drivers/": [],
  "noxs/": [],
  "toolstack/control/": [],
  "toolstack/api/": ["valibot"],
};

export const layers = {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      upward:
        "{{from}}/ may import only {{allowed}}, not {{to}}/ (layers point down: see the table in scripts/lint/layers.js)",
      foreign:
        "'{{name}}' does not exist where {{from}}/ runs: import files of this repository (see scripts/lint/layers.js)",
    },
  },
  create(context) {
    const file = path.relative(context.cwd, context.filename).split(path.sep).join("/");
    const placeOf = (name) => Object.keys(ROOMS).find((room) => name.startsWith(`${room}/`)) ?? name.split("/")[0];
    const from = placeOf(file);
    const allowed = ROOMS[from] ?? LAYERS[from];
    if (allowed === undefined) return {};
    const booted = Object.keys(BOOTED).find((folder) => file.startsWith(folder));

    function check(node) {
      const name = node.source?.value;
      if (typeof name !== "string") return;
      if (!name.startsWith(".")) {
        if (booted !== undefined && !BOOTED[booted].includes(name)) {
          context.report({ node, messageId: "foreign", data: { name, from } });
        }
        return;
      }
      const to = placeOf(path.posix.normalize(path.posix.join(path.posix.dirname(file), name)));
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
