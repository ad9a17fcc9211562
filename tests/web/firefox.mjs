// Drives Debian's Firefox through WebDriver BiDi: predicts a file, reloads, and reads the page.
// Then it changes another file while that waits for its upload, and the first while that is not shown.
// Usage: node firefox.mjs FIREFOX ADDRESS FILE OTHER

import { readFileSync, writeFileSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [executablePath, address, file, other] = process.argv.slice(2);
const PATIENCE = 60_000; // milliseconds

const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true });
try {
  const page = await browser.newPage();
  /** @type {string[]} */
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(address);
  await page.waitForSelector("body.ready", { timeout: PATIENCE });
  const input = await page.$("#files");
  await input.uploadFile(file);
  await page.waitForSelector(".side .number:not(:empty)", { timeout: PATIENCE });
  const read = (selector) => page.$eval(selector, (element) => element.textContent);
  const until = async (selector, pattern) => {
    const end = Date.now() + PATIENCE;
    while (!pattern.test(await read(selector))) {
      if (Date.now() > end) throw new Error(`${selector}: ${await read(selector)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await until("#spoken", /: Q\d \w+, \d+ %/);
  const before = await read(".verdict");
  await page.reload();
  await until("#spoken", /: Q\d \w+, \d+ %/);
  const inked = await page.$eval("canvas.quadrant", (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value > 0);
  });
  const after = await read(".verdict");
  // A file that is changed while it waits: its first upload fails as if the server were away.
  await page.evaluate(() => {
    const { send } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.send = function () {
      XMLHttpRequest.prototype.send = send;
      this.onerror();
    };
  });
  await input.dispose();
  await (await page.$("#files")).uploadFile(other);
  await until("body", /Next try in/);
  writeFileSync(other, readFileSync(other).reverse());
  await until("body", /cannot be read: it was changed/);
  await (await page.$("#files")).uploadFile(file);
  await page.waitForSelector("#play:enabled", { timeout: PATIENCE });
  const [first, second] = await page.$$("#songs li button");
  await second.click();
  await page.waitForSelector("#play:disabled", { timeout: PATIENCE });
  const content = readFileSync(file);
  writeFileSync(file, content.fill(1, content.length - 8)); // can still be played
  await first.click();
  await page.waitForSelector("#sound-missing:not([hidden])", { timeout: PATIENCE });
  console.log(JSON.stringify({ before, after, inked, errors }));
} finally {
  await browser.close();
}
