/**
 * Boot modules as targets of vbds: domain 0, which sees them, grants their pages to the I/O domain, read-only.
 *
 * A module's grants are where its pages are: each page of the region with the modules has a reference of its own, and so have the
 * pages in stable memory that list them (ModulePage). So a domain 0 that was restarted grants the same again, under the references that
 * the I/O domain knows.
 */
import { DOM0_MODULES } from "../../../abi/domain0-layout.ts";
import { EEXIST, ENOSPC } from "../../../abi/errno.ts";
import { GTF_readonly } from "../../../abi/grant-table.ts";
import { ModulePage } from "../../../abi/io/control-block.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { bootModules } from "../boot-info.ts";
import { BuildError } from "../builder/build-error.ts";
import { SECTOR_BYTES } from "../../api/sizes.ts";
import { GRANT_REFS_END, grantPage, MODULE_REFS } from "../grants.ts";
import { memory } from "../host.ts";
import { canWrite } from "../hypercalls/xen-version.ts";
import { MODULE_LIST_PAGES, MODULE_LISTS } from "../stable.ts";
import { PAGE_SHIFT, PAGE_SIZE } from "../window.ts";
import { addModule } from "./block-requests.ts";
import { IoError, untilAnswered, type IoRequests } from "./io-requests.ts";

/** References: of the pages with lists, then of the modules' pages. */
const FIRST_LIST = MODULE_REFS;
const FIRST_PAGE = FIRST_LIST + MODULE_LIST_PAGES;
const MOST_MIB = Math.floor((GRANT_REFS_END - FIRST_PAGE) / ((1024 * 1024) / PAGE_SIZE));
const LIST_WORDS = ModulePage.grants / 4;
/** Grants on a list: its last bytes are what is written to find out whether there is memory, also while the list is in use. */
const LIST_GRANTS = 1016;
const TRIAL_AT = PAGE_SIZE - 16;

/** Where a module's pages and lists are. */
export interface ModulePlace {
  /** Of its first page, counted from the first module's. */
  page: number;
  pages: number;
  /** Of its first list. */
  list: number;
  lists: number;
}

/**
 * Lists for a module: no two modules have one in common, whatever their sizes, because a list less than full is counted by the
 * module's number.
 * @param index of the module
 * @param page its first page, counted from the first module's
 */
export function placeOf(index: number, page: number, bytes: number): ModulePlace {
  const pages = Math.ceil(bytes / PAGE_SIZE);
  const list = Math.floor(page / LIST_GRANTS) + index;
  return { page, pages, list, lists: Math.ceil(pages / LIST_GRANTS) };
}

export class ModuleGrants {
  /** Those that this domain 0 has granted. */
  private readonly granted = new Set<string>();

  constructor(private readonly io: IoRequests) {}

  /**
   * Makes a boot module a target.
   * @throws BuildError in words
   */
  async provide(name: string): Promise<void> {
    if (this.granted.has(name)) return;
    const modules = bootModules();
    const index = modules.findIndex((module) => module.name === name);
    if (index < 0) throw new BuildError(`there is no boot module "${name}"; \`modules\` shows them`);
    const { address, size } = modules[index]!;
    if (size === 0 || size % SECTOR_BYTES !== 0) {
      throw new BuildError(
        `the boot module "${name}" has ${size} bytes: a disk has a multiple of ${SECTOR_BYTES}, and not none`,
      );
    }
    const place = placeOf(index, (address >>> PAGE_SHIFT) - (DOM0_MODULES >>> PAGE_SHIFT), size);
    if (address % PAGE_SIZE !== 0 || FIRST_PAGE + place.page + place.pages > GRANT_REFS_END) {
      throw new BuildError(
        `the boot module "${name}" cannot be a disk: it and those before it have more than ${MOST_MIB} MiB, or it does ` +
          "not begin at a page",
      );
    }
    this.grant(place);
    await untilAnswered(async () => {
      try {
        await addModule(this.io, name, size, FIRST_LIST + place.list);
      } catch (error) {
        if (!(error instanceof IoError)) throw error;
        if (error.code === ENOSPC) throw new BuildError("too many boot modules are disks");
        // Made known by an earlier domain 0, or before the I/O domain was restarted.
        if (error.code !== EEXIST) throw error;
      }
    });
    this.granted.add(name);
  }

  /** Writes a module's lists, and all its grants. */
  private grant({ page, pages, list, lists }: ModulePlace): void {
    for (let i = 0; i < lists; i++) {
      const at = MODULE_LISTS + (list + i) * PAGE_SIZE;
      if (!canWrite(at + TRIAL_AT)) throw new BuildError("there is no memory to list the module's pages in");
      const first = i * LIST_GRANTS;
      const count = Math.min(LIST_GRANTS, pages - first);
      memory.store32(at + ModulePage.next, i + 1 < lists ? FIRST_LIST + list + i + 1 : 0);
      memory.store32(at + ModulePage.count, count);
      for (let k = 0; k < count; k++) memory.store32(at + 4 * (LIST_WORDS + k), FIRST_PAGE + page + first + k);
      grantPage(FIRST_LIST + list + i, IO_DOMAIN, at); // the I/O domain maps single pages for writing
    }
    for (let i = 0; i < pages; i++) {
      const at = DOM0_MODULES + (page + i) * PAGE_SIZE;
      memory.load32(at); // what was never touched is not there
      grantPage(FIRST_PAGE + page + i, IO_DOMAIN, at, GTF_readonly);
    }
  }
}
