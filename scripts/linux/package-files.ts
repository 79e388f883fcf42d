/**
 * The files of Debian packages for an initramfs: everything in the packages named but their documentation, and of the
 * packages they depend on only the libraries that their programs are linked with. What is loaded by name while a program
 * runs (plugins), run as another program, or set up by a package's installation scripts is not found.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import path from "node:path";
import type { CpioEntry } from "./cpio.ts";
import { elfNeeds, isElf64 } from "./elf.ts";

/** Where packages come from. */
export interface PackageSource {
  /** The folder in which a package is unpacked. */
  unpacked: (name: string) => string;
  /** Packages that it depends on directly, alternatives included. */
  dependencies: (name: string) => string[];
}

/** A package, or some of its files: those whose path in a merged /usr (no leading slash) the pattern matches. */
export type PackageChoice = string | { name: string; files: RegExp };

/** Name of a chosen package. */
export function chosenName(choice: PackageChoice): string {
  return typeof choice === "string" ? choice : choice.name;
}

/** Not for a machine without a reader. */
const DOCUMENTATION = /^usr\/share\/(bash-completion|doc|doc-base|info|lintian|locale|man)\//;

/** Where the dynamic linker looks (ld.so(8), Debian's /etc/ld.so.conf.d), as the archive has it. */
const LIBRARY_FOLDERS = ["usr/lib/x86_64-linux-gnu", "usr/lib", "usr/lib64"];

/** Folders at the top that are links into usr/ (Debian's merged /usr). */
export const MERGED_FOLDERS = ["bin", "sbin", "lib", "lib64"];

/** Libraries that others load by name, where every program may need them: libc to cancel a thread. */
const LOADED_BY_NAME = new Map([["libc.so.6", ["libgcc_s.so.1"]]]);

const LINKS_MAX = 40;

/** Where a file of a package is in a system with a merged /usr; no leading slash. */
export function mergedPath(file: string): string {
  const relative = file.replace(/^\/+/, "");
  return MERGED_FOLDERS.includes(relative.split("/", 1)[0]!) ? `usr/${relative}` : relative;
}

/** A folder that a file names for its own libraries, as the archive has it; empty when it has a variable other than the file's own folder. */
function ownFolder(folder: string, file: string): string {
  const origin = `/${path.posix.dirname(file)}`;
  const real = folder.replace(/^\$(ORIGIN|\{ORIGIN\})(?=\/|$)/, origin);
  return real.includes("$") ? "" : mergedPath(path.posix.normalize(real)).replace(/\/$/, "");
}

/** A package, unpacked. */
interface Unpacked {
  name: string;
  /** Its files and links: path in the archive, path on this computer. */
  files: Map<string, string>;
}

function listFiles(folder: string, below = ""): string[] {
  return readdirSync(path.join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const relative = path.join(below, entry.name);
    return entry.isDirectory() ? listFiles(folder, relative) : [relative];
  });
}

function open(source: PackageSource, name: string): Unpacked {
  const folder = source.unpacked(name);
  const files = listFiles(folder).filter((file) => !DOCUMENTATION.test(mergedPath(file)));
  return { name, files: new Map(files.map((file) => [mergedPath(file), path.join(folder, file)])) };
}

/** Length of what two names begin with together. */
function commonStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

/** The order in which packages are asked for a library: libc6 has a dozen, others are named after what they have. */
function likelyFirst(names: string[], wanted: string): string[] {
  const stem = wanted.toLowerCase().replaceAll("_", "-");
  const score = (name: string) => (name === "libc6" ? Infinity : commonStart(name, stem));
  return names.toSorted((a, b) => score(b) - score(a));
}

class Collector {
  readonly entries = new Map<string, CpioEntry>();
  private readonly opened = new Map<string, Unpacked>();
  /** Programs and libraries whose libraries are to be found yet. */
  private readonly todo: { owner: Unpacked; file: string; needs: string[]; folders: string[] }[] = [];

  constructor(private readonly source: PackageSource) {}

  private package(name: string): Unpacked {
    let found = this.opened.get(name);
    if (found === undefined) this.opened.set(name, (found = open(this.source, name)));
    return found;
  }

  /** Adds everything of a package, or what is chosen of it. */
  addPackage(choice: PackageChoice): void {
    const owner = this.package(chosenName(choice));
    const files = [...owner.files.keys()].filter((file) => typeof choice === "string" || choice.files.test(file));
    if (files.length === 0) throw new Error(`${owner.name} has none of the files wanted of it`);
    for (const file of files) this.addFile(owner, file);
  }

  /** Adds one file of a package; of a link, what it leads to as well. */
  private addFile(owner: Unpacked, file: string, links = 0): void {
    if (this.entries.has(file)) return;
    const real = owner.files.get(file)!;
    const status = lstatSync(real);
    if (status.isSymbolicLink()) {
      const target = readlinkSync(real);
      this.entries.set(file, { kind: "link", path: file, target });
      const next = mergedPath(path.posix.resolve("/", path.posix.dirname(file), target));
      // It may lead out of the package: then it is as good as on any system without that other package.
      if (owner.files.has(next) && links < LINKS_MAX) this.addFile(owner, next, links + 1);
      return;
    }
    const data = readFileSync(real);
    this.entries.set(file, { kind: "file", path: file, mode: status.mode & 0o7777, data });
    if (!isElf64(data)) return;
    try {
      const { interpreter, libraries, folders } = elfNeeds(data);
      const byName = LOADED_BY_NAME.get(path.posix.basename(file)) ?? [];
      this.todo.push({
        owner,
        file,
        needs: [...(interpreter === undefined ? [] : [interpreter]), ...libraries, ...byName],
        folders: folders.map((folder) => ownFolder(folder, file)).filter((folder) => folder !== ""),
      });
    } catch (error) {
      throw new Error(`${file} of ${owner.name} is damaged: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Adds the libraries of everything that was added, and theirs. */
  addLibraries(): void {
    for (let next = this.todo.pop(); next !== undefined; next = this.todo.pop()) {
      for (const wanted of next.needs) this.addLibrary(next, wanted);
    }
  }

  private addLibrary({ owner, file, folders }: (typeof this.todo)[0], wanted: string): void {
    // The dynamic linker is asked for by its path.
    const places = wanted.includes("/")
      ? [mergedPath(wanted)]
      : [...folders, ...LIBRARY_FOLDERS].map((folder) => `${folder}/${wanted}`);
    if (places.some((place) => this.entries.has(place))) return;
    const base = path.posix.basename(wanted);
    const candidates = [owner.name, ...likelyFirst(this.source.dependencies(owner.name), base)];
    // A package that was asked before is at hand; others have to be fetched.
    const order = candidates.toSorted((a, b) => Number(this.opened.has(b)) - Number(this.opened.has(a)));
    for (const name of order) {
      const candidate = this.package(name);
      const place = places.find((at) => candidate.files.has(at));
      if (place === undefined) continue;
      this.addFile(candidate, place);
      return;
    }
    throw new Error(`${file} of ${owner.name} needs ${wanted}, which is in no package that it depends on`);
  }
}

/**
 * The files of `packages` and the libraries they need, folders not included, sorted by path.
 * @throws Error when a library is in no package that depends say it is in, or a package cannot be had
 */
export function packageFiles(source: PackageSource, packages: PackageChoice[]): CpioEntry[] {
  const collector = new Collector(source);
  for (const choice of packages) collector.addPackage(choice);
  collector.addLibraries();
  return [...collector.entries.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}
