/** What can be found out about a text alone. */
import { dirname, join, normalize } from "node:path";

/** First column of a Markdown table whose cells there are `code`, in the section with this heading. */
export function codesOfTable(markdown: string, heading: string): string[] {
  const section = markdown.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/^\| `([^`]+)` \|/gm)].map(([, code = ""]) => code);
}

/** Targets of relative links of a Markdown file, as paths from the root; without anchors. Code is left out. */
export function relativeLinks(path: string, markdown: string): string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return targets
    .filter((target) => !/^[a-z]+:/i.test(target) && !target.startsWith("#"))
    .map((target) => normalize(join(dirname(path), target.replace(/#.*$/, ""))).replace(/\/$/, ""));
}

/** Hosts of the web addresses in a text. */
export function hostsOf(text: string): string[] {
  return [...text.matchAll(/\b(?:https?|wss?|nats|git\+https):\/\/([a-z0-9.-]+\.[a-z0-9-]+)/gi)].map(([, host = ""]) =>
    host.toLowerCase(),
  );
}

/** Absolute paths of somebody's machine: a home, a checkout, a mount. */
export function machinePaths(text: string): string[] {
  const roots = ["home", "root", "Users", "work", "workspace", "mnt", "builds"].join("|");
  return [...text.matchAll(new RegExp(`(?<![\\w.~@/:<-])/(?:${roots})/[\\w.-]+`, "g"))].map(([path]) => path);
}

/** Words of the glossary, in order: lines of the form "- **word**: one line." */
export function glossaryWords(markdown: string): string[] {
  return [...markdown.matchAll(/^- \*\*([^*]+)\*\*: \S.*$/gm)].map(([, word = ""]) => word);
}

/** Words that the glossary says are not used: "not shard" at the end of an entry. */
export function wordsNotUsed(markdown: string): string[] {
  return [...new Set([...markdown.matchAll(/; not ([a-z]+)\.$/gm)].map(([, word = ""]) => word))];
}

/** The parts of a camelCase, snake_case or kebab-case text, in lower case. */
export function partsOf(identifiers: string): string[] {
  return identifiers.split(/[^A-Za-z]+|(?<=[a-z])(?=[A-Z])/).map((part) => part.toLowerCase());
}
