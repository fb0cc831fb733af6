import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import {
  CheckpointError,
  openCheckpoint,
  safetensorsChunks,
  serializeSafetensors,
} from "../../src/checkpoint/index.ts";
import {
  fileSource,
  folderOpener,
  isInside,
  writeFileAtomic,
  writeFolderAtomic,
} from "../../src/checkpoint/node.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "graft-node-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const at = (name: string): string => join(folder, name);
const model = serializeSafetensors([{ name: "a", dtype: "U8", shape: [3], bytes: Uint8Array.of(1, 2, 3) }]);

async function* failing(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.of(1);
  throw new Error("the disk is full");
}

describe("fileSource", () => {
  test("gives any part of a file", async () => {
    await writeFile(at("x.bin"), model);
    const source = await fileSource(at("x.bin"));
    expect(source).toMatchObject({ size: model.length, name: "x.bin" });
    expect(await source.read(2, 5)).toEqual(model.slice(2, 7));
    expect(await source.read(model.length, 0)).toEqual(new Uint8Array(0));
    await expect(source.read(model.length, 1)).rejects.toBeInstanceOf(CheckpointError);
    await writeFile(at("x.bin"), "cut");
    await expect(source.read(0, 8)).rejects.toEqual(
      new CheckpointError(
        "read",
        "x.bin must give 8 bytes at 0, got 3. Did the file change while it was read?",
      ),
    );
    await source.close?.();
  });

  test("refuses what is no file", async () => {
    await expect(fileSource(at("none"))).rejects.toEqual(
      new CheckpointError("fileSource", `${at("none")} must be a readable file, got ENOENT.`),
    );
    await expect(fileSource(folder)).rejects.toEqual(
      new CheckpointError("fileSource", `${folder} must be a file, got a folder.`),
    );
  });
});

describe("writeFileAtomic", () => {
  test("writes every kind of content and replaces what was there", async () => {
    const chunks = safetensorsChunks([{ name: "a", dtype: "U8", shape: [3], bytes: Uint8Array.of(1, 2, 3) }]);
    for (const [content, expected] of [
      ["é", new TextEncoder().encode("é")],
      [model, model],
      [[Uint8Array.of(1), Uint8Array.of(2, 3)], Uint8Array.of(1, 2, 3)],
      [chunks, model],
    ] as const) {
      await writeFileAtomic(at("out"), content);
      expect(new Uint8Array(await readFile(at("out")))).toEqual(expected);
    }
    expect(await readdir(folder)).toEqual(["out"]);
  });

  test("a failure leaves the old file and nothing else", async () => {
    await writeFileAtomic(at("out"), "old");
    await expect(writeFileAtomic(at("out"), failing())).rejects.toThrow("the disk is full");
    expect(await readFile(at("out"), "utf8")).toBe("old");
    await mkdir(at("taken/full"), { recursive: true });
    await expect(writeFileAtomic(at("taken"), "x")).rejects.toThrow();
    expect(await readdir(folder)).toEqual(["out", "taken"]);
  });
});

describe("writeFolderAtomic", () => {
  test("writes a folder with subfolders, where nothing or an empty folder was", async () => {
    await mkdir(at("empty"));
    for (const out of ["new", "deep/er", "empty"]) {
      await writeFolderAtomic(at(out), { "a.json": "{}", "poet/w.safetensors": [model] });
      expect((await readdir(at(out))).sort()).toEqual(["a.json", "poet"]);
      expect(new Uint8Array(await readFile(at(`${out}/poet/w.safetensors`)))).toEqual(model);
    }
    expect((await readdir(folder)).sort()).toEqual(["deep", "empty", "new"]);
  });

  test("a taken folder is left alone without force and replaced with it", async () => {
    await writeFolderAtomic(at("out"), { a: "1", b: "2" });
    await expect(writeFolderAtomic(at("out"), { c: "3" })).rejects.toEqual(
      new CheckpointError(
        "writeFolderAtomic",
        `${at("out")} must be empty or free, got 2 files. Use force to replace it.`,
      ),
    );
    await writeFolderAtomic(at("out"), new Map([["c", "3"]]), { force: true });
    expect(await readdir(at("out"))).toEqual(["c"]);
    expect(await readdir(folder)).toEqual(["out"]);
  });

  test("a failure leaves the old folder and nothing else", async () => {
    await writeFolderAtomic(at("out"), { a: "1" });
    await expect(writeFolderAtomic(at("out"), { a: "2", b: failing() }, { force: true })).rejects.toThrow(
      "the disk is full",
    );
    await expect(writeFolderAtomic(at("new"), { b: failing() })).rejects.toThrow("the disk is full");
    expect(await readFile(at("out/a"), "utf8")).toBe("1");
    expect(await readdir(folder)).toEqual(["out"]);
  });

  test("a linked folder is replaced where it is, and the link stays", async () => {
    await writeFolderAtomic(at("real"), { a: "1" });
    await symlink("real", at("link"));
    await writeFolderAtomic(at("link"), { a: "2" }, { force: true });
    expect(await readFile(at("real/a"), "utf8")).toBe("2");
    expect((await readdir(folder)).sort()).toEqual(["link", "real"]);
  });

  test.each(["/", process.cwd(), "..", process.env.HOME ?? "/"])("never replaces %s", async (out) => {
    await expect(writeFolderAtomic(out, { a: "1" }, { force: true })).rejects.toEqual(
      new CheckpointError(
        "writeFolderAtomic",
        `${out} must not be the working or home folder or one above them. Choose a folder of its own.`,
      ),
    );
  });

  test("refuses a file at that place and names that are not plain", async () => {
    await writeFile(at("file"), "x");
    await expect(writeFolderAtomic(at("file"), {}, { force: true })).rejects.toEqual(
      new CheckpointError("writeFolderAtomic", `${at("file")} must be a folder or free, got a file.`),
    );
    for (const name of ["../x", "/x", "a//b", "a/../b", ""]) {
      await expect(writeFolderAtomic(at("out"), { [name]: "" })).rejects.toEqual(
        new CheckpointError("writeFolderAtomic", `a file name must be plain, got ${JSON.stringify(name)}.`),
      );
    }
    expect(await readdir(folder)).toEqual(["file"]);
  });
});

describe("folders of models", () => {
  test("weights are opened and a link that leads out is refused", async () => {
    await mkdir(at("model"));
    await writeFile(at("model/model.safetensors"), model);
    const file = await openCheckpoint(folderOpener(at("model")));
    expect(await file.readBytes("a")).toEqual(Uint8Array.of(1, 2, 3));
    await file.close();

    await mkdir(at("bad"));
    await symlink("../model/model.safetensors", at("bad/model.safetensors"));
    await expect(openCheckpoint(folderOpener(at("bad")))).rejects.toEqual(
      new CheckpointError(
        "openCheckpoint",
        `model.safetensors must lie inside ${at("bad")}, but is a link that leads out of it.`,
      ),
    );
  });

  test("the hub's cache links from snapshots to blobs", async () => {
    await mkdir(at("snapshots/abc"), { recursive: true });
    await mkdir(at("blobs"));
    await writeFile(at("blobs/hash"), model);
    await symlink("../../blobs/hash", at("snapshots/abc/model.safetensors"));
    await (await openCheckpoint(folderOpener(at("snapshots/abc")))).close();
  });

  test("isInside follows links", async () => {
    await mkdir(at("in/side"), { recursive: true });
    await writeFile(at("in/a"), "");
    await writeFile(at("out"), "");
    await symlink("../out", at("in/link"));
    await symlink("a", at("in/fine"));
    const answers = await Promise.all(
      ["a", "fine", "side", "link", "../out", "none", ".", at("out")].map((name) => isInside(at("in"), name)),
    );
    expect(answers).toEqual([true, true, true, false, false, false, false, false]);
  });
});
