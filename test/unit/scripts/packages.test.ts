/** Which version of a Debian package is fetched. */
import test from "ava";
import { versionsToFetch } from "../../../scripts/packages.ts";

const ARCHIVE = "        500 http://deb.debian.org/debian bookworm/main amd64 Packages\n";
const INSTALLED = "        100 /var/lib/dpkg/status\n";

test("the candidate, unless no archive has it: then the latest that one has", (t) => {
  const said =
    `one:\n  Installed: 2.0\n  Candidate: 2.0\n  Version table:\n *** 2.0 100\n${INSTALLED}     1.1 500\n${ARCHIVE}     1.0 500\n${ARCHIVE}` +
    `two:\n  Installed: (none)\n  Candidate: 3.0\n  Version table:\n     3.0 500\n${ARCHIVE}` +
    `three:\n  Installed: 1:4.0\n  Candidate: 1:4.0\n  Version table:\n *** 1:4.0 500\n${ARCHIVE}${INSTALLED}` +
    `four:\n  Installed: 5.0\n  Candidate: 5.0\n  Version table:\n *** 5.0 100\n${INSTALLED}` +
    `five:\n  Installed: (none)\n  Candidate: 6.0\n  Package pin: 6.0\n  Version table:\n     7.0 500\n${ARCHIVE}     6.0 990\n${ARCHIVE}` +
    `six:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n`;
  t.deepEqual(
    [...versionsToFetch(said)],
    [
      ["one", "1.1"],
      ["two", "3.0"],
      ["three", "1:4.0"],
      ["five", "6.0"],
    ],
  );
});
