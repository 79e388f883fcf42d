/** `npm run docs`: writes docs/hypercalls.md. */
import { writeFileSync } from "node:fs";
import { hypercallsPage } from "./hypercalls/page.ts";
import { fromRoot } from "./paths.ts";

writeFileSync(fromRoot("docs/hypercalls.md"), hypercallsPage());
