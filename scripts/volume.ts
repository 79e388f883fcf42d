/**
 * `npm run volume -- FILES...`: packs files into an image that the guest `web` serves, as its ramdisk (a boot module) or on its
 * volume.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Command } from "commander";
import { progress } from "./build/task.ts";
import { buildFolder } from "./paths.ts";
import { collectFiles, packArchive } from "./volume/archive.ts";

const program = new Command("npm run volume --")
  .description("Packs files into an image for the guest `web`: of a folder its contents, of a file itself.")
  .argument("<files...>", "files and folders")
  .option("--out <file>", "where the image goes", path.join(buildFolder, "volume.img"))
  .addHelpText("after", "\nServe it: npm start -- --module site=FILE --exec 'create --kernel web --ramdisk site --vif'")
  .parse();

try {
  const out = program.opts<{ out: string }>().out;
  const files = collectFiles(program.args);
  const image = packArchive(files);
  mkdirSync(path.dirname(path.resolve(out)), { recursive: true });
  writeFileSync(out, image);
  for (const file of files) console.log(`${String(file.data.length).padStart(10)}  ${file.path}`);
  console.log(`${files.length} files, ${image.length} bytes: ${path.relative(process.cwd(), out)}`);
} catch (error) {
  progress((error as Error).message);
  process.exitCode = 1;
}
