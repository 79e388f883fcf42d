/**
 * quickjs-emscripten's .wasm has minified export and import names. Its loader script has their meaning: exports
 * are read from it, imports are checked against it, so that a new version cannot be mistaken for the old one.
 */
import { readFileSync } from "node:fs";
import { engineLoader } from "../paths.ts";
import { BuildError } from "./task.ts";

/** What the imports of module "a" are, and how each one's definition begins in the loader. */
const IMPORTS: Record<string, { name: string; begins: string }> = {
  b: { name: "assertFail", begins: "(a,d,b,e)=>M(`Assertion failed" },
  c: { name: "fdWrite", begins: "(a,d,b,e)=>{for(var f=0,g=0;g<b" },
  d: { name: "fdClose", begins: "()=>52" },
  e: { name: "environGet", begins: "(a,d)=>{var b=0,e=0,f;for(f of na())" },
  f: { name: "environSizesGet", begins: "(a,d)=>{var b=na()" },
  g: { name: "normalizeModule", begins: "function(a,d,b,e){b=R(b);e=R(e);return c.callbacks.normalizeModule" },
  h: { name: "loadModuleSource", begins: "function(a,d,b){b=R(b);return c.callbacks.loadModuleSource" },
  i: { name: "shouldInterrupt", begins: "function(a){return c.callbacks.shouldInterrupt" },
  j: { name: "setTimer", begins: "(a,d)=>{T[a]&&(clearTimeout" },
  k: { name: "resizeHeap", begins: "a=>{var d=H.length;a>>>=0;if(2147483648<a)" },
  l: { name: "keepaliveClear", begins: "()=>{Q=!1" },
  m: { name: "localTime", begins: "function(a,d){a=-9007199254740992>a" },
  n: { name: "tzSet", begins: "(a,d,b,e)=>{var f=(new Date)" },
  o: { name: "fdSeek", begins: "function(){return 70}" },
  p: { name: "dateNow", begins: "()=>Date.now()" },
  q: { name: "abort", begins: '()=>M("")' },
  r: { name: "procExit", begins: "la," },
  s: { name: "hostCall", begins: "function(a,d,b,e,f){return c.callbacks.callFunction" },
  t: { name: "freeHostRef", begins: "function(a,d){c.callbacks.freeHostRef" },
};

/** Exports without which nothing works. */
const NEEDED = ["QTS_NewRuntime", "QTS_NewContext", "QTS_Eval", "QTS_Call", "QTS_ExecutePendingJob", "malloc", "free"];
const EXPORT_COUNT = 70;

export interface EngineNames {
  /** QTS_Call, malloc, ... -> export name in the .wasm. */
  exports: Map<string, string>;
  /** Export that runs the C constructors; called first and once. */
  constructors: string;
  /** hostCall, dateNow, ... -> import name in module "a". */
  imports: Map<string, string>;
}

/** Reads the names from the loader; throws BuildError when it is not the version these tables were made for. */
export function readEngineNames(): EngineNames {
  const loader = readFileSync(engineLoader, "utf8").replace(/\n/g, " ");

  const exports = new Map<string, string>();
  for (const match of loader.matchAll(/\._([A-Za-z_]\w*)=\s*b\.([\w$]+)/g)) exports.set(match[1], match[2]);
  const missing = NEEDED.filter((name) => !exports.has(name));
  if (missing.length > 0 || exports.size !== EXPORT_COUNT) {
    throw new BuildError(
      `the engine's loader names ${exports.size} exports instead of ${EXPORT_COUNT}` +
        (missing.length > 0 ? `; missing: ${missing.join(", ")}` : "") +
        ": quickjs-emscripten changed, see scripts/build/engine-names.ts",
    );
  }

  const imports = new Map<string, string>();
  for (const [letter, { name, begins }] of Object.entries(IMPORTS)) {
    if (!["{", ",", ", "].some((before) => loader.includes(`${before}${letter}:${begins}`))) {
      throw new BuildError(
        `the engine's import a.${letter} is not ${name} any more: quickjs-emscripten changed, see scripts/build/engine-names.ts`,
      );
    }
    imports.set(name, letter);
  }

  const start = /[\w$]+\.([\w$]+)\(\);[\w$]+\?\.\(c\);c\.onRuntimeInitialized/.exec(loader);
  if (start === null) throw new BuildError("the engine's loader does not show which export runs its constructors");
  return { exports, constructors: start[1], imports };
}

/** build/gen/engine-exports.h: the C names of the engine's exports and imports, as wasm2c makes them; and numbers. */
export function engineExportsHeader(names: EngineNames, numbers: Record<string, number>): string {
  const lines = [...names.exports].map(([name, letter]) => {
    const cName = name.startsWith("QTS_") ? name : `engine_${name}`;
    return `#define ${cName} Z_engineZ_${mangle(letter)}`;
  });
  lines.push(`#define engine_constructors Z_engineZ_${mangle(names.constructors)}`);
  for (const [name, value] of Object.entries(numbers)) lines.push(`#define engine_${name} ${value}u`);
  for (const [name, letter] of names.imports) lines.push(`#define engine_import_${name} Z_aZ_${mangle(letter)}`);
  return `/* Made by scripts/build/engine-names.ts. */\n#pragma once\n${lines.sort().join("\n")}\n`;
}

/** wasm2c 1.0.32's spelling of a name: letters, digits and '_' stand for themselves, except 'Z'; others are Z and hex. */
function mangle(name: string): string {
  return name.replace(/[^A-Za-z0-9_]|Z/g, (c) => `Z${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}
