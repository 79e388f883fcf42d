/** A bootable ISO with GRUB, for BIOS and UEFI, made by grub-mkrescue. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { runTool } from "./build/task.ts";
import { type BootModule } from "./modules.ts";
import { imageFile } from "./paths.ts";

export interface IsoOptions {
  out: string;
  /** Words for Typevisor, without quotes or characters that GRUB's shell knows. */
  commandLine: string;
  modules: BootModule[];
  /** Typevisor's image, by default build/typevisor.elf. */
  image?: string;
  /** "bios" alone makes a smaller ISO, faster. */
  firmware: "bios" | "bios and uefi";
  /** GRUB's menu on screen and serial line for two seconds, as people want it; without it the machine boots at once. */
  menu: boolean;
}

function grubConfiguration(options: IsoOptions): string {
  const console = ["serial --unit=0 --speed=115200", "terminal_input serial console", "terminal_output serial console"];
  return [
    ...(options.menu ? console : []),
    `set timeout=${options.menu ? 2 : 0}`,
    'menuentry "Typevisor" {',
    `  multiboot2 /boot/typevisor.elf ${options.commandLine}`,
    ...options.modules.map((module) => `  module2 /boot/modules/${module.name} ${module.name}`),
    "}",
    "",
  ].join("\n");
}

/** Writes the ISO; throws BuildError with grub-mkrescue's message. */
export async function makeIso(options: IsoOptions): Promise<void> {
  const tree = mkdtempSync(path.join(os.tmpdir(), "typevisor-iso-"));
  try {
    mkdirSync(path.join(tree, "boot/grub"), { recursive: true });
    mkdirSync(path.join(tree, "boot/modules"), { recursive: true });
    copyFileSync(options.image ?? imageFile, path.join(tree, "boot/typevisor.elf"));
    for (const module of options.modules) copyFileSync(module.file, path.join(tree, "boot/modules", module.name));
    writeFileSync(path.join(tree, "boot/grub/grub.cfg"), grubConfiguration(options));
    const slim = ["--fonts=", "--locales=", "--themes="];
    const forBios = ["-d", "/usr/lib/grub/i386-pc", "--install-modules=multiboot2 normal iso9660 biosdisk part_msdos"];
    const args = [...slim, ...(options.firmware === "bios" ? forBios : []), "-o", path.resolve(options.out), tree];
    // xorriso prints its progress on standard error.
    await runTool("grub-mkrescue", args, true);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}
