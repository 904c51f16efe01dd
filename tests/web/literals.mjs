// Prints the literal texts in scripts as JSON: {file: [text...]}; of templates, what is between the values. Left out are
// names of modules, selectors and classes. Arguments: the path of TypeScript, and the files.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [typescript, ...files] = process.argv.slice(2);
const { default: ts } = await import(pathToFileURL(typescript).href);

const isSelector = ({ expression }) => ["querySelector", "querySelectorAll", "closest"].includes(expression.name?.text);
const isClass = ({ left }) => left.name?.text === "className";

function textsOf(file) {
  const texts = [];
  const look = (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    if (ts.isCallExpression(node) && isSelector(node)) return;
    if (ts.isBinaryExpression(node) && isClass(node)) return;
    if (ts.isStringLiteralLike(node) || ts.isTemplateLiteralToken(node)) texts.push(node.text);
    ts.forEachChild(node, look);
  };
  look(ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true));
  return texts;
}

console.log(JSON.stringify(Object.fromEntries(files.map((file) => [file, textsOf(file)]))));
