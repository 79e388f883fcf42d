/** `npm run docs`: writes the pages that are made of tables of the code. */
import { writeFileSync } from "node:fs";
import { hypercallsPage } from "./hypercalls/page.ts";
import { fromRoot } from "./paths.ts";
import { requestsPage } from "./requests/page.ts";
import { xlPage } from "./xl-page.ts";

writeFileSync(fromRoot("docs/hypercalls.md"), hypercallsPage());
writeFileSync(fromRoot("docs/xl.md"), xlPage());
writeFileSync(fromRoot("docs/requests.md"), requestsPage());
