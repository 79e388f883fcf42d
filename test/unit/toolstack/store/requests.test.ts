/** Every request with its answers and errors, as Xen's xenstored 4.17 gives them. */
import test from "ava";
import {
  XS_CONTROL,
  XS_DIRECTORY_PART,
  XS_GET_DOMAIN_PATH,
  XS_INTRODUCE,
  XS_IS_DOMAIN_INTRODUCED,
  XS_READ,
  XS_RELEASE,
  XS_RESET_WATCHES,
  XS_RESUME,
  XS_RM,
  XS_SET_PERMS,
  XS_SET_TARGET,
  XS_TRANSACTION_END,
  XS_TRANSACTION_START,
  XS_UNWATCH,
  XS_WATCH,
  XS_WATCH_EVENT,
  XS_WRITE,
} from "../../../../abi/xs-wire.ts";
import { isValidPath } from "../../../../toolstack/control/store/path.ts";
import { parsePermissions } from "../../../../toolstack/control/store/permissions.ts";
import { leadingNumber, onlyString, strings } from "../../../../toolstack/control/store/wire.ts";
import { StoreLab } from "./store-lab.ts";

const OK = "OK\0";

test("paths: what a node may be called", (t) => {
  for (const path of ["/", "/a", "/a/b-c_D@9", "/local/domain/1/x"]) t.true(isValidPath(path), path);
  for (const path of ["", "a", "/a/", "//a", "/a//b", "/a b", "/ä", "/a.b", "/a\0", "@x"])
    t.false(isValidPath(path), path);
  t.true(isValidPath(`/${"a".repeat(2047)}`));
  t.false(isValidPath(`/${"a".repeat(2048)}`));
  t.true(isValidPath(`/local/domain/65535/${"a".repeat(2048)}`));
  t.false(isValidPath(`/local/domain/65535/${"a".repeat(2049)}`));
  t.false(isValidPath(`/local/domain/123456/${"a".repeat(2048)}`), "no such domain number");
});

test("permissions: what an entry may be", (t) => {
  t.deepEqual(parsePermissions(["n0", "r1", "w2", "b65535"]), [
    { domain: 0, access: 0 },
    { domain: 1, access: 1 },
    { domain: 2, access: 2 },
    { domain: 65535, access: 3 },
  ]);
  for (const word of ["", "r", "x1", "r-1", "r1x", "r65536", "1", "rr"])
    t.throws(() => parsePermissions([word]), { message: "EINVAL" }, word);
});

test("payloads: strings, the only string, numbers as C reads them", (t) => {
  t.deepEqual(strings("a\0b\0rest"), ["a", "b"]);
  t.deepEqual(strings("rest"), []);
  t.is(onlyString("a\0"), "a");
  t.is(onlyString("\0"), "");
  for (const payload of ["", "a", "a\0b", "a\0b\0"]) t.is(onlyString(payload), undefined, JSON.stringify(payload));
  t.is(leadingNumber("12x"), 12);
  t.is(leadingNumber("x"), 0);
  t.is(leadingNumber("-3"), -3);
});

test("a guest writes, reads, lists and removes what is its own", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  t.is(a.write("data/x/y", "va\0lue"), OK);
  t.is(a.read("data/x/y"), "va\0lue", "data is binary");
  t.is(a.read("/local/domain/1/data/x/y"), "va\0lue");
  t.is(a.read("data/x"), "", "made on the way");
  t.is(a.mkdir("data/z"), OK);
  t.is(a.mkdir("data/z"), OK, "it exists already");
  t.is(a.list("data"), "x\0z\0");
  t.is(a.list("data/z"), "");
  t.is(a.perms("data/x/y"), "n1\0");
  t.is(a.rm("data/x"), OK);
  t.is(a.read("data/x/y"), "!ENOENT");
  t.is(a.rm("data/x"), OK, "it is gone, its parent is not");
  t.is(a.rm("data/p/q"), "!ENOENT", "neither is there");
  t.is(a.list("data"), "z\0");
  t.is(a.write("data", ""), OK);
  t.deepEqual(lab.wrong(), []);
});

test("whoever may not learns nothing", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  const b = lab.guest(2);
  b.write("data/secret", "s");
  for (const path of [
    "/local/domain/2",
    "/local/domain/2/data",
    "/local/domain/2/data/secret",
    "/local/domain/2/data/none",
    "/",
    "/local",
    "/nothing",
  ]) {
    t.is(a.read(path), "!EACCES", path);
    t.is(a.list(path), "!EACCES", path);
    t.is(a.write(path, "x"), "!EACCES", path);
    t.is(a.mkdir(path), "!EACCES", path);
    t.is(a.rm(path), "!EACCES", path);
    t.is(a.perms(path), "!EACCES", path);
    t.is(a.setPerms(path, "b1"), "!EACCES", path);
  }
  // Its own home it may read and not write.
  t.is(a.list("/local/domain/1"), "data\0");
  t.is(a.read("/local/domain/1/none"), "!ENOENT");
  t.is(a.write("/local/domain/1/none", "x"), "!EACCES");
  t.is(a.rm("/local/domain/1"), "!EACCES");
  t.is(a.rm("/local/domain/1/none"), "!EACCES");
  t.is(b.read("data/secret"), "s");
  t.is(lab.zero.read("/local/domain/2/data/secret"), "s", "domain 0 sees all");
  t.deepEqual(lab.wrong(), []);
});

test("shared nodes: n, r, w and b for one and for all", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  const b = lab.guest(2);
  const at = "/local/domain/1/data/s";
  a.write("data/s", "v");
  const may = () => [b.read(at) === "v", b.write(at, "v") === OK];
  for (const [perms, read, write] of [
    [["n1"], false, false],
    [["r1"], true, false],
    [["w1"], false, true],
    [["b1"], true, true],
    [["n1", "r2"], true, false],
    [["n1", "w2"], false, true],
    [["n1", "b2"], true, true],
    [["b1", "n2"], false, false],
    [["n1", "r3", "r2"], true, false],
  ] as const) {
    if (lab.store.tree.domain(3) === undefined) lab.store.addDomain(3);
    t.is(a.setPerms("data/s", ...perms), OK);
    t.is(a.perms("data/s"), `${perms.join("\0")}\0`);
    t.deepEqual(may(), [read, write], perms.join(","));
  }
  t.is(b.setPerms(at, "n1", "b2"), "!EACCES", "only the owner changes permissions");
  // What b makes below a's node is b's, with a's other permissions.
  a.setPerms("data/s", "n1", "b2");
  t.is(b.write(`${at}/of-b`, "x"), OK);
  t.is(b.perms(`${at}/of-b`), "n2\0b2\0");
  t.is(a.read("data/s/of-b"), "!EACCES");
  t.is(a.rm("data/s"), OK, "but whoever may remove a node removes what is below");
  t.is(b.read(`${at}/of-b`), "!EACCES");
  t.deepEqual(lab.wrong(), []);
});

test("set-perms: who may, and what is refused", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  lab.guest(2);
  a.write("data/x", "");
  t.is(a.setPerms("data/x", "n2"), "!EPERM", "it is not given away");
  t.is(a.setPerms("data/x", "n9"), "!ENOENT", "no such domain");
  t.is(a.setPerms("data/x"), "!EINVAL");
  t.is(a.setPerms("data/x", "q1"), "!EINVAL");
  t.is(a.setPerms("data/none", "n1"), "!ENOENT");
  t.is(a.setPerms("bad path", "n1"), "!EINVAL");
  t.is(a.ask(XS_SET_PERMS, ""), "!EINVAL");
  t.is(a.setPerms("data/x", "n1", "r2", "r2", "r2", "r2", "r2"), "!ENOSPC", "five entries at most");
  t.is(a.setPerms("data/x", "n1", "r9"), OK, "an entry for nobody");
  t.is(a.perms("data/x"), "n1\0", "is not kept");
  t.is(lab.zero.setPerms("/local/domain/1/data/x", "n2", "r1"), OK, "domain 0 gives away");
  t.is(lab.clients.get(2)!.write("/local/domain/1/data/x", "mine"), OK);
  t.deepEqual(lab.wrong(), []);
});

test("a new domain does not inherit what its number was allowed before", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  lab.guest(2);
  a.write("data/s", "v");
  a.setPerms("data/s", "n1", "r2");
  t.is(lab.clients.get(2)!.read("/local/domain/1/data/s"), "v");
  lab.remove(2);
  const b = lab.guest(2);
  t.is(b.read("/local/domain/1/data/s"), "!EACCES");
  a.write("data/s", "w");
  t.is(b.read("/local/domain/1/data/s"), "!EACCES", "nor by a later write");
  a.write("data/s/below", "");
  t.is(b.read("/local/domain/1/data/s/below"), "!EACCES", "nor by inheritance");
  t.is(a.perms("data/s"), "n1\0");
});

test("malformed requests are EINVAL, unknown ones ENOSYS, privileged ones EACCES", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  for (const type of [XS_READ, XS_RM, XS_GET_DOMAIN_PATH]) {
    for (const payload of ["", "data", "data\0x\0"]) t.is(a.ask(type, payload), "!EINVAL", `${type} ${payload}`);
  }
  t.is(a.ask(XS_WRITE, "data"), "!EINVAL", "no NUL behind the path");
  t.is(a.read("data/"), "!EINVAL");
  t.is(a.read("data//x"), "!EINVAL");
  t.is(a.read("data/.."), "!EINVAL");
  t.is(a.write("data/ü", ""), "!EINVAL");
  t.is(a.write("@introduceDomain", ""), "!EINVAL");
  for (const type of [XS_WATCH_EVENT, 16, 20, 23, 0xffff, 0xffffffff])
    t.is(a.ask(type, "x\0"), "!ENOSYS", String(type));
  for (const type of [XS_CONTROL, XS_INTRODUCE, XS_RELEASE, XS_RESUME, XS_SET_TARGET, XS_IS_DOMAIN_INTRODUCED]) {
    t.is(a.ask(type, "1\x001\x001\0"), "!EACCES", String(type));
  }
  t.is(a.ask(XS_GET_DOMAIN_PATH, "77\0"), "/local/domain/77\0");
  t.is(lab.zero.rm("/"), "!EINVAL");
});

test("a target ends with its domain: the next one of that number is another", (t) => {
  const lab = new StoreLab();
  const helper = lab.guest(1);
  lab.guest(2).write("data/x", "v");
  t.is(lab.zero.ask(XS_SET_TARGET, "1\x002\0"), OK);
  t.is(helper.read("/local/domain/2/data/x"), "v");
  lab.remove(2);
  lab.guest(2).write("data/x", "another's");
  t.is(helper.read("/local/domain/2/data/x"), "!EACCES");
  t.is(lab.zero.ask(XS_SET_TARGET, "1\x002\0"), OK);
  t.is(helper.read("/local/domain/2/data/x"), "another's");
});

test("domain 0's requests: control, introduce, release, resume, is-introduced, set-target", (t) => {
  const lab = new StoreLab();
  const zero = lab.zero;
  lab.guest(1);
  const b = lab.guest(2);
  b.write("data/x", "v");
  t.is(zero.ask(XS_IS_DOMAIN_INTRODUCED, "1\0"), "T\0");
  t.is(zero.ask(XS_IS_DOMAIN_INTRODUCED, "0\0"), "T\0");
  t.is(zero.ask(XS_IS_DOMAIN_INTRODUCED, "32752\0"), "T\0", "DOMID_SELF");
  t.is(zero.ask(XS_IS_DOMAIN_INTRODUCED, "9\0"), "F\0");
  t.is(zero.ask(XS_INTRODUCE, "5\x0077\x003\0"), OK);
  t.is(zero.ask(XS_INTRODUCE, "5\x0077\0"), "!EINVAL");
  t.is(zero.ask(XS_INTRODUCE, "5\x0077\x000\0"), "!EINVAL");
  t.is(zero.ask(XS_RESUME, "1\0"), OK);
  t.is(zero.ask(XS_RESUME, "9\0"), "!ENOENT");
  t.is(zero.ask(XS_RESUME, "0\0"), "!EINVAL");
  t.deepEqual(lab.log, ["introduce 5 3", "resume 1"]);
  t.is(lab.clients.get(1)!.read("/local/domain/2/data/x"), "!EACCES");
  t.is(zero.ask(XS_SET_TARGET, "1\x002\0"), OK);
  t.is(zero.ask(XS_SET_TARGET, "1\x009\0"), "!ENOENT");
  t.is(zero.ask(XS_SET_TARGET, "1\0"), "!EINVAL");
  t.is(lab.clients.get(1)!.read("/local/domain/2/data/x"), "v", "it acts for domain 2 now");
  t.is(zero.ask(XS_CONTROL, "check\0"), "OK\0");
  t.regex(zero.ask(XS_CONTROL, "quota\x002\0"), /^Domain 2:\nnodes +: +2\n/);
  t.regex(zero.ask(XS_CONTROL, "quota\0"), /^nodes +: +1000\n/);
  t.regex(zero.ask(XS_CONTROL, "help\0"), /check/);
  t.is(zero.ask(XS_CONTROL, "quota\x009\0"), "!ENOENT");
  t.is(zero.ask(XS_CONTROL, "explode\0"), "!EINVAL");
  t.is(zero.ask(XS_RELEASE, "2\0"), OK);
  t.is(zero.ask(XS_RELEASE, "2\0"), "!ENOENT");
  t.is(zero.ask(XS_RELEASE, "0\0"), "!EINVAL");
  t.deepEqual(lab.wrong(), []);
});

test("directory-part: long lists in pieces of whole names, with the generation", (t) => {
  const lab = new StoreLab();
  const names = Array.from({ length: 700 }, (_, i) => `node-${i}`);
  for (const name of names) lab.local.write(`/many/${name}`, "");
  const { zero } = lab;
  t.is(zero.list("/many"), "!E2BIG");
  const part = (offset: number | string) => {
    const [generation, ...rest] = zero.ask(XS_DIRECTORY_PART, `/many\0${offset}\0`).split("\0");
    return { generation, rest };
  };
  const seen: string[] = [];
  let offset = 0;
  let generation: string | undefined;
  for (let parts = 0; ; parts++) {
    t.true(parts < 5);
    const piece = part(offset);
    generation ??= piece.generation;
    t.is(piece.generation, generation);
    // A finished list ends with an empty name of its own.
    const done = piece.rest[piece.rest.length - 2] === "";
    const found = piece.rest.slice(0, done ? -2 : -1);
    seen.push(...found);
    offset += found.reduce((sum, name) => sum + name.length + 1, 0);
    if (done) break;
  }
  t.deepEqual(seen, names);
  t.deepEqual(part(100_000).rest, ["", ""]);
  t.deepEqual(part(-5).rest, ["", ""]);
  lab.local.write("/many/new", "");
  t.not(part(0).generation, generation, "a changed list is noticed");
  lab.local.write("/many/new", "x");
  const after = part(0).generation;
  lab.local.write("/many/new/below", "x");
  t.is(part(0).generation, after, "what happens below is no change of the list");
  t.is(zero.ask(XS_DIRECTORY_PART, "/many\0"), "!EINVAL");
  t.is(zero.ask(XS_DIRECTORY_PART, "/none\x000\0"), "!ENOENT");
});

test("transactions: isolation, commit, abort, conflict, errors", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  a.write("data/x", "1");
  const one = a.start();
  const two = a.start();
  t.not(one, two);
  t.is(a.write("data/x", "2", one), OK);
  t.is(a.read("data/x", one), "2");
  t.is(a.read("data/x"), "1", "not yet for others");
  t.is(a.write("data/y", "n", two), OK);
  t.is(a.list("data", two), "x\0y\0");
  t.is(a.end(one), OK);
  t.is(a.read("data/x"), "2");
  t.is(a.end(two), OK, "it touched other nodes");
  t.is(a.list("data"), "x\0y\0");

  const three = a.start();
  a.read("data/x", three);
  a.write("data/x", "3");
  t.is(a.write("data/z", "", three), OK);
  t.is(a.end(three), "!EAGAIN", "what it read has changed");
  t.is(a.read("data/z"), "!ENOENT");

  const four = a.start();
  t.is(a.read("data/none", four), "!ENOENT");
  a.write("data/none", "");
  t.is(a.end(four), "!EAGAIN", "what it missed is there");

  const five = a.start();
  t.is(a.rm("data", five), OK);
  t.is(a.read("data/x", five), "!ENOENT");
  t.is(a.end(five, "F"), OK);
  t.is(a.read("data/x"), "3", "as if it had not been");

  const six = a.start();
  t.is(a.rm("data/x", six), OK);
  t.is(a.write("data/x/deep", "d", six), OK);
  t.is(a.end(six), OK);
  t.is(a.read("data/x"), "");
  t.is(a.read("data/x/deep"), "d");

  t.is(a.end(six), "!ENOENT");
  t.is(a.end(0), "!ENOENT");
  t.is(a.read("data/x", 99), "!ENOENT");
  const seven = a.start();
  t.is(a.ask(XS_TRANSACTION_END, "X\0", seven), "!EINVAL");
  t.is(a.ask(XS_TRANSACTION_START, "\0", seven), "!EBUSY", "none within another");
  t.is(a.end(seven), OK);
  const b = lab.guest(2);
  const of = a.start();
  t.is(b.read("data", of), "!ENOENT", "another's transaction is nobody's");
  t.deepEqual(lab.wrong(), []);
});

test("watches: first event, children, relative and absolute names, unwatch, reset", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  t.is(a.watch("data/w", "rel"), OK);
  t.is(a.watch("/local/domain/1/data/w", "abs"), OK);
  t.deepEqual(a.heard(), ["data/w rel", "/local/domain/1/data/w abs"], "also where there is no node");
  t.is(a.watch("data/w", "rel"), "!EEXIST");
  a.write("data/w", "1");
  t.deepEqual(a.heard(), ["data/w rel", "/local/domain/1/data/w abs"]);
  a.write("data/w/x/y", "1");
  t.deepEqual(a.heard(), ["data/w/x/y rel", "/local/domain/1/data/w/x/y abs"]);
  a.write("data/wx", "1");
  t.deepEqual(a.heard(), [], "a name that begins alike is another");
  t.is(a.unwatch("data/w", "none"), "!ENOENT");
  t.is(a.unwatch("/local/domain/1/data/w", "rel"), OK, "the same node by its other name");
  a.mkdir("data/w/z");
  t.deepEqual(a.heard(), ["/local/domain/1/data/w/z abs"]);
  a.mkdir("data/w/z");
  t.deepEqual(a.heard(), [], "nothing was made");
  a.watch("data/w/x/y", "deep");
  a.heard();
  a.rm("data/w");
  t.deepEqual(a.heard(), ["data/w/x/y deep", "/local/domain/1/data/w abs"], "each node once, to who watches it");
  t.is(a.ask(XS_RESET_WATCHES, "\0"), OK);
  a.write("data/w", "1");
  t.deepEqual(a.heard(), []);
  t.is(a.client.account.watches, 0);
  for (const payload of ["", "data\0", "data", "data\0t"]) {
    t.is(a.ask(XS_WATCH, payload), "!EINVAL");
    t.is(a.ask(XS_UNWATCH, payload), "!EINVAL");
  }
  t.is(a.watch("a//b", "t"), "!EINVAL");
  t.is(a.watch(`@${"x".repeat(2048)}`, "t"), "!EINVAL");
  t.deepEqual(lab.wrong(), []);
});

test("watches tell only of what the watcher may read, or could before", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  const b = lab.guest(2);
  t.is(b.watch("/local/domain/1", "t"), OK, "anything may be watched");
  t.is(b.watch("/", "root"), OK);
  b.heard();
  a.write("data/x", "1");
  t.deepEqual(b.heard(), [], "and nothing is heard");
  a.setPerms("data/x", "n1", "r2");
  t.deepEqual(b.heard(), ["/local/domain/1/data/x t", "/local/domain/1/data/x root"]);
  a.write("data/x", "2");
  t.is(b.heard().length, 2);
  a.write("data/x/below", "2");
  t.is(b.heard().length, 2, "its parent can be read");
  a.setPerms("data/x", "n1");
  t.is(b.heard().length, 2, "the loss itself is told");
  a.write("data/x", "3");
  t.deepEqual(b.heard(), []);
  a.setPerms("data/x", "n1", "r2");
  b.heard();
  a.rm("data/x");
  t.deepEqual(b.heard(), ["/local/domain/1/data/x t", "/local/domain/1/data/x root"]);
});

test("events of a transaction come when it is done, and not at all when it is not", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  const b = lab.guest(2);
  a.write("data/x/y", "1");
  a.setPerms("data/x", "r1");
  a.setPerms("data/x/y", "r1");
  b.watch("/local/domain/1/data/x", "t");
  b.watch("/local/domain/1/data/x/y", "y");
  b.heard();
  const one = a.start();
  a.write("data/x", "2", one);
  a.write("data/x", "3", one);
  t.deepEqual(b.heard(), []);
  a.end(one);
  t.deepEqual(b.heard(), ["/local/domain/1/data/x t"], "once");
  const two = a.start();
  a.write("data/x", "4", two);
  a.end(two, "F");
  t.deepEqual(b.heard(), []);
  const three = a.start();
  a.rm("data/x", three);
  a.end(three);
  t.deepEqual(b.heard().sort(), ["/local/domain/1/data/x t", "/local/domain/1/data/x/y y"], "of what it could read");
});

test("special events: domain 0's, and those it lets hear", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  t.is(a.watch("@releaseDomain", "r"), OK);
  t.is(lab.zero.watch("@releaseDomain", "z"), OK);
  a.heard();
  lab.zero.heard();
  lab.guest(2);
  lab.remove(2);
  t.deepEqual(a.heard(), []);
  t.deepEqual(lab.zero.heard(), ["@releaseDomain z"]);
  t.is(a.setPerms("@releaseDomain", "n0", "r1"), "!EACCES");
  t.is(lab.zero.setPerms("@nothing", "n0"), "!EINVAL");
  t.is(lab.zero.setPerms("@releaseDomain", "n0", "r1"), OK);
  lab.guest(3);
  lab.remove(3);
  t.deepEqual(a.heard(), ["@releaseDomain r"]);
  lab.remove(1);
  const again = lab.guest(1);
  again.watch("@releaseDomain", "r");
  again.heard();
  lab.store.announceSpecial("@releaseDomain");
  t.deepEqual(again.heard(), [], "the right went with the domain");
});

test("a domain that goes takes its nodes along, wherever they are, and whatever waited for it", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  const b = lab.guest(2);
  a.setPerms("data", "n1", "b2");
  b.write("/local/domain/1/data/of-b/x", "1");
  b.watch("/local/domain/1/data", "t");
  b.start();
  b.client.event("x", "y", a.client);
  t.is(a.client.account.outstanding, 1);
  lab.remove(2);
  t.is(a.client.account.outstanding, 0);
  t.is(a.list("data"), "");
  t.is(lab.store.tree.domain(2), undefined);
  a.write("data/x", "");
  t.deepEqual(lab.wrong(), []);
});

test("a transaction overtaken by others sees a tree that does not hold together: it is told to try again", (t) => {
  const lab = new StoreLab();
  const a = lab.guest(1);
  a.write("data/x/y", "1");
  const one = a.start();
  t.is(a.list("data/x", one), "y\0");
  a.rm("data/x");
  t.is(a.rm("data/x", one), "!EAGAIN", "the child it saw is gone");
  t.is(a.end(one), "!EAGAIN");
  a.write("data/x/y", "1");
  const two = a.start();
  t.is(a.read("data/x/y", two), "1");
  a.rm("data/x/y");
  t.is(a.rm("data/x/y", two), "!EAGAIN", "its parent does not know it");
  a.rm("data/x");
  const three = a.start();
  t.is(a.end(two), "!EAGAIN");
  t.is(a.end(three), OK);
  t.deepEqual(lab.wrong(), []);
});
