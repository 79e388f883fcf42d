import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";
import { layers } from "./scripts/lint/layers.js";

/** AssemblyScript reads like TypeScript but is another language: rules about JavaScript's semantics do not apply to it. */
const ASSEMBLYSCRIPT = ["abi", "arch-x86", "kernel", "codec", "drivers", "noxs"].map((folder) => `${folder}/**/*.ts`);

export default defineConfig(
  { ignores: ["build/", "dist/", "node_modules/", "tutorial/"] },
  tseslint.configs.recommended,
  {
    plugins: { typevisor: { rules: { layers } } },
    rules: {
      "typevisor/layers": "error",
      "max-lines": ["error", { max: 600 }],
      eqeqeq: "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/no-namespace": "off",
    },
  },
  {
    files: ASSEMBLYSCRIPT,
    // Decorators on functions (@inline, @external) are AssemblyScript's own; the parser must let them pass.
    languageOptions: { parserOptions: { allowInvalidAST: true } },
    rules: {
      "prefer-const": "off",
      "no-constant-condition": "off",
      "@typescript-eslint/no-unused-expressions": "off",
      // Handlers in a table share one signature, and not each of them needs every argument.
      "@typescript-eslint/no-unused-vars": ["error", { args: "none", varsIgnorePattern: "^_" }],
      // Not JavaScript's wrapper objects: in AssemblyScript `==` compares without conversion.
      eqeqeq: "off",
    },
  },
);
