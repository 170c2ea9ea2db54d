import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { defineConfig } from "vite";

const HERE = import.meta.dirname;
const SOURCES = ["package.json", "package-lock.json", "vite.config.js", "src"];

/** All files that the build is made from, in a fixed order. */
const sourceFiles = (name) => {
  const path = join(HERE, name);
  if (!statSync(path).isDirectory()) return [name];
  return readdirSync(path)
    .sort()
    .flatMap((inside) => sourceFiles(`${name}/${inside}`));
};

/** Writes the digest of the source beside the build, so that a test tells whether they belong together. */
const sourceDigest = () => ({
  name: "source-digest",
  generateBundle() {
    const hash = createHash("sha256");
    for (const name of SOURCES.flatMap(sourceFiles)) {
      hash.update(`${name}\0`).update(readFileSync(join(HERE, name))).update("\0");
    }
    this.emitFile({ type: "asset", fileName: "SOURCE_SHA256", source: `${hash.digest("hex")}\n` });
  },
});

/** The folder and manifest of the package that a bundled module comes from. */
const packageOf = (id) => {
  const path = id.replace(/^\0/, "").split("?")[0];
  if (!path.includes(`${sep}node_modules${sep}`)) return null;
  for (let folder = dirname(path); folder !== HERE; folder = dirname(folder)) {
    try {
      const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      if (manifest.name && manifest.version) return { folder, manifest };
    } catch {
      // a folder inside a package
    }
  }
  return null;
};

// For the packages that name the license and do not ship its text.
const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software
and associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;

/** The license's text: the package's file, else what its manifest says, with the text it names. */
const licenseTexts = ({ folder, manifest }) => {
  const files = readdirSync(folder).filter((file) => /^(licen[sc]e|copying|notice)/i.test(file));
  if (files.length > 0) return files.sort().map((file) => readFileSync(join(folder, file), "utf8").trim());
  if (!/MIT/.test(manifest.license)) throw new Error(`${manifest.name}: no text of its license`);
  const author = manifest.author?.name ?? manifest.author ?? `the authors of ${manifest.name}`;
  return [`Copyright (c) ${author} (${manifest.repository?.url ?? manifest.repository ?? ""})`, MIT];
};

/** Writes the licenses of all packages that are in the build. */
const thirdPartyLicenses = () => {
  const modules = new Set();
  return {
    name: "third-party-licenses",
    moduleParsed({ id }) {
      modules.add(id);
    },
    generateBundle() {
      const packages = new Map();
      for (const id of modules) {
        const found = packageOf(id);
        if (found) packages.set(`${found.manifest.name} ${found.manifest.version}`, found);
      }
      const parts = [...packages.keys()].sort().map((title) => {
        const { folder, manifest } = packages.get(title);
        const license = manifest.license?.type ?? manifest.license ?? "see below";
        const texts = licenseTexts({ folder, manifest });
        return [`${title}\nLicense: ${license}`, ...texts].join("\n\n");
      });
      const head = "Packages in the built viewer, with their licenses.";
      const source = `${[head, ...parts].join(`\n\n${"=".repeat(80)}\n\n`)}\n`;
      this.emitFile({ type: "asset", fileName: "THIRD_PARTY_LICENSES", source });
    },
  };
};

export default defineConfig({
  base: "./",
  plugins: [sourceDigest(), thirdPartyLicenses()],
  worker: { format: "es" },
  resolve: {
    alias: [{ find: /^.*\/registerComputeWorker(\.js)?$/, replacement: join(HERE, "src", "no_worker.js") }],
  },
  build: {
    outDir: "../built",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
    chunkSizeWarningLimit: 8000,
    rollupOptions: {
      input: join(HERE, "src", "index.js"),
      preserveEntrySignatures: "strict",
      output: {
        entryFileNames: "index-[hash].js",
        chunkFileNames: "part-[name]-[hash].js",
        assetFileNames: "[name]-[hash][extname]",
      },
    },
  },
});
