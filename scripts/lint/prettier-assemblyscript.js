/**
 * Prettier for AssemblyScript: its decorators on functions and variables (`@inline`, `@external`, ...) are a syntax
 * error to every TypeScript parser. They are hidden in comments for parsing and printed as decorators again.
 */
import * as estree from "prettier/plugins/estree";
import * as typescript from "prettier/plugins/typescript";

const MARK = "assemblyscript:";
const DECORATOR =
  /@((?:inline|external|lazy|global|unsafe|builtin)\b(?:\([^)\n]*\))?)(?=\s+(?:@|export\b|declare\b|function\b|const\b|let\b))/g;

export const languages = [{ name: "AssemblyScript", parsers: ["assemblyscript"] }];

export const parsers = {
  assemblyscript: {
    ...typescript.parsers.typescript,
    astFormat: "assemblyscript-estree",
    preprocess: (text) => text.replace(DECORATOR, `/*${MARK}$1*/`),
  },
};

export const printers = {
  "assemblyscript-estree": {
    ...estree.printers.estree,
    printComment(path, options) {
      const comment = path.node;
      if (comment.value.startsWith(MARK)) return `@${comment.value.slice(MARK.length)}`;
      return estree.printers.estree.printComment(path, options);
    },
  },
};
