/**
 * A Debian computer's files as those of one that runs Xen with its tools installed, for programs that look for them there: a name space
 * of mounts of its own, in which a package's files, and some of ours, are laid over the computer's, and /proc/xen/privcmd is there. The
 * computer itself stays as it is.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

/** Lower folders come first; $1 is the folder with all of them, the rest is the command. */
const ENTER = `set -e
folder=$1
shift
mount -t overlay -o "lowerdir=$folder/package/usr:/usr" overlay /usr
mount -t overlay -o "lowerdir=$folder/own:$folder/package/etc:/etc" overlay /etc
mkdir -p "$folder/proc"
mount --rbind /proc "$folder/proc"
mount -t tmpfs tmpfs /proc
mkdir /proc/xen
: >/proc/xen/privcmd
for entry in "$folder"/proc/*; do ln -s "$entry" /proc/; done
exec "$@"
`;

export class Domain0Files {
  private constructor(private readonly folder: string) {}

  /**
   * @param unpacked the package's folder
   * @param etc more files of /etc, by their path there
   */
  static make(unpacked: string, etc: Record<string, string>): Domain0Files {
    // No commas and colons in its name, which mount would take for its own.
    const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-domain0-"));
    symlinkSync(unpacked, path.join(folder, "package"));
    mkdirSync(path.join(folder, "own"));
    for (const [name, text] of Object.entries(etc)) {
      const file = path.join(folder, "own", name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    writeFileSync(path.join(folder, "enter"), ENTER);
    chmodSync(folder, 0o755);
    return new Domain0Files(folder);
  }

  /** A program and its arguments, as the program and the arguments that run it among these files. */
  command(program: string, words: string[]): { program: string; words: string[] } {
    // Who is not root is it in a name space of users.
    const own = process.getuid?.() === 0 ? [] : ["--map-root-user"];
    const enter = path.join(this.folder, "enter");
    return { program: "unshare", words: [...own, "--mount", "sh", enter, this.folder, program, ...words] };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Why this cannot be done on this computer; empty when it can. */
  static whyNot(unpacked: string): string {
    const files = Domain0Files.make(unpacked, {});
    try {
      const { program, words } = files.command("test", ["-e", "/proc/xen/privcmd"]);
      execFileSync(program, words, { encoding: "utf8", stdio: "pipe" });
      return "";
    } catch (error) {
      return `no name space of mounts: ${(error as Error).message.trim().split("\n").at(-1)}`;
    } finally {
      files.remove();
    }
  }
}
