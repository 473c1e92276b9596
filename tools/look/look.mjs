// Looks at pages in a real browser, as scripts/pages-check asks: `node look.mjs BROWSER FOLDER`, from a folder that has
// this one's packages. Each page at the width of a desk and of a telephone, light and dark: what axe finds wrong with it
// (contrast among it), whether it is wider than the screen, and whether the keyboard goes through it in the order it is read.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [browser, folder] = process.argv.slice(2);
const require = createRequire(path.join(process.cwd(), 'package.json'));
const { chromium } = require('playwright-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const pages = fs.readdirSync(folder).filter((name) => name.endsWith('.html')).sort();
if (pages.length === 0) throw new Error(`there are no pages in ${folder}`);

// Pages of ours run no script and ask nothing of anybody, so that its sandbox, which root and containers lack, keeps nothing out.
const opened = await chromium.launch({ executablePath: browser, args: ['--no-sandbox', '--disable-gpu'] });
const faults = [];
let looks = 0;
for (const name of pages) {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1200, 400]) {
      const said = (what) => faults.push(`${name}, ${colorScheme}, ${width} wide: ${what}`);
      const context = await opened.newContext({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
      const page = await context.newPage();
      await page.goto(pathToFileURL(path.join(folder, name)).href);
      const widest = await page.evaluate(() => document.documentElement.scrollWidth);
      if (widest > width) said(`it is ${widest} wide`);

      // Through everything that can be reached by the keyboard, and no further than there is.
      const reachable = await page.evaluate(() => {
        const all = [...document.querySelectorAll('a[href],button,input:not([type=hidden]),select,textarea,summary,[tabindex]')];
        all.forEach((one, place) => one.setAttribute('data-place', String(place)));
        return all.length;
      });
      const first = Math.min(reachable, 60);
      const order = [];
      let seen = true;
      for (let step = 0; step < first; step += 1) {
        await page.keyboard.press('Tab');
        const [place, outlined] = await page.evaluate(() => {
          const at = document.activeElement;
          const style = getComputedStyle(at);
          const box = at.getBoundingClientRect();
          const inside = box.width > 0 && box.height > 0 && box.right > 0 && box.left < innerWidth;
          return [Number(at.getAttribute('data-place') ?? -1), inside && style.outlineStyle !== 'none'];
        });
        order.push(place);
        seen &&= outlined;
      }
      const wanted = [...Array(first).keys()];
      if (order.join() !== wanted.join()) said(`the keyboard goes ${order.join()}, and it is read ${wanted.join()}`);
      if (!seen) said('what the keyboard is at is not seen');

      await page.evaluate(() => document.activeElement?.blur());
      await page.evaluate(axe);
      const found = await page.evaluate(async () => (await globalThis.axe.run()).violations);
      for (const one of found) said(`${one.id}: ${one.nodes.length} times, as ${one.nodes[0].html}: ${one.nodes[0].failureSummary}`);
      looks += 1;
      await context.close();
    }
  }
}
await opened.close();
for (const fault of faults) console.error(fault);
console.log(`${pages.length} pages, looked at ${looks} times: ${faults.length === 0 ? 'good' : `${faults.length} faults`}`);
process.exit(faults.length === 0 ? 0 : 1);
